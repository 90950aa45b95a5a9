"""Outcomes, downloads and frozen models, of which mypy knows more. Checked by mypy, never run.

Pyright narrows unions by comparisons only, and sees `Any` in place of `None` in an outcome, so that
the same programs pass: `program.py` is one of them. It also takes frozen models for writable ones,
unless each class, also of users, is declared as frozen once more.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from luma_async import GenerateRequest, Generation, LumaClient, LumaError, Outcome, State, Stats


async def check_outcomes(luma: LumaClient) -> None:
    async for outcome in luma.run_many(["a cat", "a dog"], max_tasks=5):
        assert_type(outcome, Outcome)
        assert_type(outcome.generation, Generation | None)
        assert_type(outcome.error, LumaError | None)
        assert_type(outcome.key, str | None)
        print(outcome.generation.id)  # type: ignore[union-attr]
        if outcome.ok:
            assert_type(outcome.generation, Generation)
            assert_type(outcome.error, None)
        else:
            assert_type(outcome.generation, None)
            assert_type(outcome.error, LumaError)
        if not outcome.ok:
            continue
        assert_type(outcome.generation.url, str)


async def check_downloads(luma: LumaClient) -> None:
    async for file in luma.download_all(luma.run_many(["a cat"]), "videos"):
        assert_type(file.path, Path | None)
        if file.ok:
            assert_type(file.path, Path)
        else:
            assert_type(file.error, LumaError)


def check_frozen_models(generation: Generation, request: GenerateRequest, stats: Stats) -> None:
    generation.state = State.COMPLETED  # type: ignore[misc]
    request.prompt = "a dog"  # type: ignore[misc]
    stats.polls = 0  # type: ignore[misc]
