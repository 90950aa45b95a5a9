"""The public names: all of them there, nothing else, and no cost until one is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import luma_async


def test_every_public_name_is_there() -> None:
    """And `from luma_async import *` gives them all."""
    names: dict[str, object] = {}
    exec("from luma_async import *", names)  # noqa: S102  an import that no function may hold

    assert set(luma_async.__all__) <= set(names)
    assert set(luma_async.__all__) <= set(dir(luma_async))
    assert luma_async.__all__ == sorted(luma_async.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any other module."""
    with pytest.raises(AttributeError, match="no attribute 'LumaCliend'"):
        luma_async.LumaCliend  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_loads_nothing_else() -> None:
    """A program that may generate a video, but has not yet, starts as quickly as without."""
    program = (
        "import sys, luma_async; assert not {'aiohttp', 'pydantic', 'anyio'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
