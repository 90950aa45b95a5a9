"""Rows of jobs that make images, layers and several files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from luma_async import EditImageRequest, GenerateRequest, ImageRequest, LayersRequest
from luma_async.batch import Batch, Manifest, Result
from luma_async.batch.results import OutputFile, ResultState
from luma_async.batch.rows import Row
from luma_async.simulator import Simulator
from tests.batch.runs import lines, small
from tests.clients import connect


def rows(*requests: tuple[str, Any, str | None]) -> Manifest:
    return Manifest(
        None,
        tuple(
            Row(key=key, line=n, request=request, asks=repr(request), parent=parent)
            for n, (key, request, parent) in enumerate(requests, 1)
        ),
    )


def pictures() -> Manifest:
    film = GenerateRequest("a cat", resolution="720p", hdr=True, exr=True)
    return rows(
        ("still", ImageRequest("a cat", format="png"), None),
        ("layers", LayersRequest("a cat"), "still"),
        ("film", film, None),
    )


async def run(
    sim: Simulator, manifest: Manifest, folder: Path, redo: Iterable[str] = ()
) -> dict[str, Result]:
    folder.mkdir(exist_ok=True)
    async with connect(sim, journal=folder / "jobs.db", dialect="agents") as luma:
        batch = Batch(luma, manifest, folder, redo=redo)
        return {result.key: result async for result in batch.run()}


async def test_files_whose_result_is_lost_are_kept(tmp_path: Path) -> None:
    """A redo finds those of images and layers by their names, and leaves those of other rows."""
    wanted = ["still", "layers", "layers-1"]
    image = ImageRequest("a cat", format="png")
    manifest = Manifest(None, (*pictures().rows, *rows(("layers-1", image, None)).rows))
    videos = tmp_path / "videos"
    async with small(same_films=False) as sim:
        await run(sim, manifest, tmp_path)
        before = {path.name: path.read_bytes() for path in videos.iterdir()}
        ids = {job.id for job in sim.ledger.jobs}
        async with connect(sim, journal=tmp_path / "jobs.db", dialect="agents") as luma:
            stopped = Batch(luma, manifest, tmp_path, redo=wanted, limit_jobs=0)
            assert [result async for result in stopped.run()] == []
        (tmp_path / "results.jsonl").unlink()

        results = await run(sim, manifest, tmp_path, redo=wanted)

        assert len(sim.ledger.jobs) == 4 + 3
    earlier = {key: result.earlier[0] for key, result in results.items() if result.earlier}
    assert earlier.keys() == set(wanted)
    assert {each.id for each in earlier.values()} < ids
    of_rows = {"still": "still", "layers": "layers", "layers.1-discs": "layers"}
    for name, key in {**of_rows, "layers-1": "layers-1"}.items():
        kept = videos / f"{name}.{earlier[key].id}.png"
        assert kept.read_bytes() == before[f"{name}.png"]
        assert (videos / f"{name}.png").is_file()


async def test_rows_of_images_bring_all_their_files(tmp_path: Path) -> None:
    """The result has the main file, and lists the others if there are several."""
    async with small() as sim:
        results = await run(sim, pictures(), tmp_path)
        (tmp_path / "videos" / "layers.1-discs.png").unlink()
        again = await run(sim, pictures(), tmp_path)

        assert len(sim.ledger.jobs) == 3
    assert {result.state for result in results.values()} == {ResultState.DONE}
    assert {key: result.file for key, result in results.items()} == {
        "still": "videos/still.png",
        "layers": "videos/layers.png",
        "film": "videos/film.mp4",
    }
    assert results["still"].outputs == ()
    assert results["layers"].outputs == (
        OutputFile(file="videos/layers.png", layer="caption"),
        OutputFile(file="videos/layers.1-discs.png", layer="discs"),
        OutputFile(file="videos/layers.2-background.png", layer="background"),
    )
    assert [each.file for each in results["film"].outputs] == [
        "videos/film.mp4",
        "videos/film.1.exr",
    ]
    assert [*again] == ["layers"]
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == [
        *("film.1.exr", "film.mp4"),
        *("layers.1-discs.png", "layers.2-background.png", "layers.png", "still.png"),
    ]
    by_key = {line["key"]: line for line in lines(tmp_path)}
    assert by_key["film"]["outputs"] == [
        {"file": "videos/film.mp4", "layer": None},
        {"file": "videos/film.1.exr", "layer": None},
    ]
    assert "outputs" not in by_key["still"]


async def test_a_row_that_failed_has_the_code(tmp_path: Path) -> None:
    """`results.jsonl` tells moderation from other failures."""
    async with small() as sim:
        sim.fail_next("content_moderated")
        await run(sim, rows(("still", ImageRequest("a cat"), None)), tmp_path)

    (line,) = lines(tmp_path)
    assert (line["state"], line["failure_code"]) == ("failed", "content_moderated")
    assert "the server refunds it" in line["error"]


async def test_a_redo_keeps_all_earlier_files(tmp_path: Path) -> None:
    """Each has the id of its job in its name, also if the new files have another suffix."""
    async with small() as sim:
        layers = ("layers", LayersRequest("a cat"), "still")
        first = rows(("still", ImageRequest("a cat", format="png"), None), layers)
        before = await run(sim, first, tmp_path)
        edited = rows(("still", ImageRequest("a cat", format="jpeg"), None), layers)
        after = await run(sim, edited, tmp_path, redo=["still", "layers"])

    still, old = before["still"].id, before["layers"].id
    assert after["still"].file == "videos/still.jpg"
    assert [each.file for each in after["still"].earlier] == [f"videos/still.{still}.png"]
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == sorted(
        [
            *("still.jpg", f"still.{still}.png"),
            *("layers.png", "layers.1-discs.png", "layers.2-background.png"),
            f"layers.{old}.png",
            *(f"layers.1-discs.{old}.png", f"layers.2-background.{old}.png"),
        ]
    )


async def test_an_edited_image_continues_a_row(tmp_path: Path) -> None:
    """The generation of the row that it edits is its source."""
    async with small() as sim:
        manifest = rows(
            ("still", ImageRequest("a cat", format="png"), None),
            ("edit", EditImageRequest("with a hat", format="png"), "still"),
        )
        results = await run(sim, manifest, tmp_path)

    assert results["edit"].file == "videos/edit.png"
    assert results["edit"].source == results["still"].id
