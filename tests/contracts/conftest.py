"""Mocks of both APIs, each started once by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.prism import running_prism


@pytest.fixture(scope="session")
def agents_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_prism("agents", tmp_path_factory.mktemp("prism")) as url:
        yield url


@pytest.fixture(scope="session")
def dream_machine_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_prism("dream-machine", tmp_path_factory.mktemp("prism")) as url:
        yield url
