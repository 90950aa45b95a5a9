"""Batches whose rows work on the outputs of other rows of any kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from luma_async import ManifestError
from luma_async.batch import Batch, Manifest, ResultState
from tests.batch.runs import a_manifest, run, small
from tests.cli.commands import Shell
from tests.clients import connect


async def test_rows_work_on_rows_of_other_kinds(tmp_path: Path) -> None:
    """An image is edited and taken apart, and an extension is edited and reframed, in one run."""
    rows = [
        {"key": "still", "kind": "image", "prompt": "a cat"},
        {"key": "red", "kind": "edit_image", "prompt": "a red cat", "source": "still"},
        {"key": "parts", "kind": "layers", "prompt": "cat, roof", "source": "red"},
        {"key": "walk", "prompt": "a cat walks"},
        {"key": "on", "prompt": "it walks on", "extends": "walk"},
        {"key": "snow", "kind": "edit", "prompt": "it snows", "source": "on"},
        {"key": "wide", "kind": "reframe", "prompt": "x", "aspect_ratio": "21:9", "source": "snow"},
    ]
    folder = tmp_path / "out"
    path = a_manifest(tmp_path)
    path.write_text("\n".join(str(row).replace("'", '"') for row in rows))

    async with small() as sim:
        results = await run(sim, path, folder, client={"dialect": "agents"})
        again = await run(sim, path, folder, client={"dialect": "agents"})
        jobs = {job.prompt: job for job in sim.ledger.jobs}

    found = {result.key: result for result in results}
    assert {result.state for result in results} == {ResultState.DONE}
    assert again == []
    assert len(sim.ledger.jobs) == len(rows)
    assert [job.type for job in sim.ledger.jobs if job.prompt == "cat, roof"] == ["layering"]
    assert found["red"].source == jobs["a cat"].id
    assert found["parts"].source == found["red"].id
    assert found["wide"].source == found["snow"].id
    assert len(found["parts"].outputs) > 1
    assert all((folder / each.file).is_file() for each in found["parts"].outputs)


async def test_rules_of_the_dialect_are_checked_before_anything_is_paid(tmp_path: Path) -> None:
    """Also for rows from Python, which no dialect has checked before."""
    manifest = Manifest.of([{"prompt": "a cat"}, {"prompt": "a dog", "aspect_ratio": "9:21"}])

    async with small() as sim, connect(sim, dialect="agents", journal=tmp_path / "j.db") as luma:
        with pytest.raises(ManifestError, match="row 2: aspect_ratio: '9:21' is not valid here"):
            async for _ in Batch(luma, manifest, tmp_path).run():
                pass

    assert sim.ledger.jobs == []


def test_a_preview_applies_the_rules_of_the_dialect(tmp_path: Path) -> None:
    """Without an API key, and with the place of the cell."""
    (tmp_path / "rows.csv").write_text("prompt,loop,duration\na cat,yes,10s\n")
    shell = Shell(tmp_path, key=None)

    done = shell.run("batch", "rows.csv", "--dry-run", "--dialect", "agents")

    assert done.returncode == 2
    assert done.stderr.startswith("rows.csv:2:2: loop: ")
