"""The example of a notebook, run as IPython runs it: cell by cell, in one event loop."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from PIL import Image

from luma_async import VideoTask
from luma_async.simulator import Simulator, Variant
from tests.clients import InTurn
from tests.docs import ROOT

NOTEBOOK = ROOT / "examples/notebook.py"

BLUE, GREY = (31, 119, 180), (211, 211, 211)


def cells() -> list[str]:
    """Return the cells with code, as editors split the file."""
    _, *parts = re.split(r"^# %%", NOTEBOOK.read_text("utf-8"), flags=re.MULTILINE)
    return [part for part in parts if not part.startswith(" [markdown]")]


async def run(cell: str, names: dict[str, Any]) -> None:
    """Run a cell, and await it if it awaits at its top level."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(cell, str(NOTEBOOK), "exec", flags=flags, dont_inherit=True)
    result = FunctionType(code, names)()
    if code.co_flags & inspect.CO_COROUTINE:
        await result


async def test_a_notebook_draws_the_waiting_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client is used from cell to cell. A second run only submits the job that has failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("LUMA_API_KEY", "sk-simulated")
    names: dict[str, Any] = {"__name__": "__main__"}
    settings: dict[str, Any] = {
        "variant": Variant(estimates=True),
        "short_side": 64,
        "same_films": True,
    }
    async with Simulator(durations=InTurn(0.5, 0.3, 0.7, 0.4, 0.6), **settings) as sim:
        monkeypatch.setenv("LUMA_BASE_URL", sim.url)
        sim.fail_next("moderated")
        *others, last = cells()
        for cell in others:
            await run(cell, names)
        for cell in others[2:]:
            await run(cell, names)
        await run(last, names)

    tasks: list[VideoTask] = names["tasks"]
    keys = [task.key for task in tasks]
    assert [job.prompt for job in sim.ledger.jobs] == [*keys, "a cat dances"]
    told = capsys.readouterr().out
    assert told.count("failed: moderated") == 1
    assert told.count("http://") == 2 * len(tasks) - 1
    files = list((tmp_path / "videos").iterdir())
    assert len(files) == 2  # of each run the first video, which is the one that failed before
    assert all(file.stat().st_size > 1000 for file in files)
    with Image.open(tmp_path / "waiting-times.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (960, 360)
        colours = {colour: n for n, colour in picture.convert("RGB").getcolors(2**20) or []}
    for colour in (BLUE, GREY):
        assert colours[colour] > 5000  # bars, and not only the legend
    names["plt"].close("all")
