"""Rows from Python and from the content of standard input: the same checks as those of a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    ExtendRequest,
    GenerateRequest,
    InvalidRequestError,
    Job,
    ManifestError,
    image_from,
)
from luma_async.batch import Batch, Manifest, Result, read_manifest
from luma_async.batch.manifest import format_of, manifest_of_text
from tests.batch.runs import lines, small
from tests.clients import connect
from tests.media.image_files import an_image


def test_mappings_are_rows(tmp_path: Path) -> None:
    """The rows are equal to those of a file with the same cells."""
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"key": "a", "prompt": "a cat", "loop": true}\n{"prompt": "b", "extends": "a"}'
    )

    manifest = Manifest.of(
        [{"key": "a", "prompt": "a cat", "loop": True}, {"prompt": "b", "extends": "a"}]
    )

    assert manifest.rows == read_manifest(path).rows
    assert manifest.path is None


def test_requests_and_jobs_are_rows() -> None:
    """A job has a key, a source and metadata."""
    request = GenerateRequest("a cat", aspect_ratio="1:1")
    job = Job(ExtendRequest("it bows"), "bow", source="job-1", metadata={"user": 42})

    cat, bow = Manifest.of([request, job]).rows

    assert (cat.request, cat.key[:4]) == (request, "row-")
    assert (bow.request, bow.key, bow.source_id) == (job.request, "bow", "job-1")
    assert bow.metadata == {"user": 42}


def test_all_problems_are_reported_with_the_numbers_of_the_rows() -> None:
    """Nobody has to correct one after the other."""
    rows: list[Any] = [
        {"prompt": "a cat", "aspect_ratio": "7:7"},
        {"prompt": "a cat", "extends": "nobody", "key": "b"},
        {"key": "c"},
        "a cat",
        {"prompt": "a cat", 5: "x"},
        {"prompt": "a", "image": io.BytesIO(b"x")},
        {"prompt": "a", "metadata": {"user": {1}}},
    ]

    with pytest.raises(ManifestError) as caught:
        Manifest.of(rows)

    found = [line.partition(";")[0] for line in str(caught.value).splitlines()]
    assert found == [
        "row 1: aspect_ratio: '7:7' is not valid",
        "row 3: prompt: is required",
        "row 4: must be a mapping, a GenerateRequest or a Job, got str",
        "row 5: 5 is not a name of a field",
        found[4],
        found[5],
    ]
    assert found[4].startswith("row 6: image: must be a path, a URL, a data URI or bytes")
    assert found[5].startswith("row 7: metadata: ")
    assert [problem["line"] for problem in caught.value.problems] == [1, 3, 4, 5, 6, 7]
    assert caught.value.problems[0]["file"] is None


@pytest.mark.parametrize("rows", ["a cat", {"prompt": "a cat"}, GenerateRequest("a cat")])
def test_a_single_row_is_not_a_list(rows: Any) -> None:
    """Its characters or fields would be rows."""
    with pytest.raises(InvalidRequestError, match="must be a list of rows"):
        Manifest.of(rows)


def test_no_rows_are_an_error() -> None:
    """As in a file."""
    with pytest.raises(ManifestError, match="rows: there are no rows"):
        Manifest.of([])


async def test_images_in_memory_have_a_stable_digest(tmp_path: Path) -> None:
    """The same image in a later run is the same row."""
    data = an_image()
    (tmp_path / "cat.png").write_bytes(data)

    first, again, other = (
        Manifest.of([{"prompt": "a cat", "image": image}]).rows[0].asks
        for image in (data, bytes(bytearray(data)), await image_from(data))
    )
    path = Manifest.of([{"prompt": "a cat", "image": Path("cat.png")}], folder=tmp_path).rows[0]

    assert first == again == other
    assert vars(path.request)["image"] == tmp_path / "cat.png"


async def test_rows_from_python_are_run(tmp_path: Path) -> None:
    """Their metadata is kept with the job, in the results, and in the journal."""
    manifest = Manifest.of([{"key": "a", "prompt": "a cat", "metadata": {"user": 42}}])
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = Batch(luma, manifest, tmp_path)
        [result] = [result async for result in batch.run()]

        assert luma.journal is not None
        entry = await luma.journal.find("a")
    assert isinstance(result, Result)
    assert result.metadata == {"user": 42}
    assert lines(tmp_path)[0]["metadata"] == {"user": 42}
    assert entry is not None
    assert entry.metadata == {"user": 42}


async def test_metadata_may_change_without_an_edit(tmp_path: Path) -> None:
    """It is not part of the request: nothing is paid again, and the results follow."""
    async with small() as sim:
        for user in (1, 2):
            manifest = Manifest.of([{"key": "a", "prompt": "a cat", "metadata": {"user": user}}])
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                batch = Batch(luma, manifest, tmp_path)
                async for _ in batch.run():
                    pass

        assert len(sim.ledger.jobs) == 1
    assert (batch.results[0].metadata, batch.results[0].note) == ({"user": 2}, None)
    assert lines(tmp_path)[0]["metadata"] == {"user": 2}


METADATA = {
    "rows.csv": 'prompt,metadata\na cat,"{""user"": 42, ""tags"": [""x""]}"\n',
    "rows.jsonl": '{"prompt": "a cat", "metadata": {"user": 42, "tags": ["x"]}}',
    "rows.yaml": "- prompt: a cat\n  metadata: {user: 42, tags: [x]}\n",
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_are_a_column_of_each_format(name: str, tmp_path: Path) -> None:
    """A JSON object in CSV, a mapping in the others."""
    (tmp_path / name).write_text(METADATA[name])

    [row] = read_manifest(tmp_path / name).rows

    assert row.metadata == {"user": 42, "tags": ["x"]}


@pytest.mark.parametrize("cell", ["[1]", "5", "user"])
def test_metadata_that_are_not_an_object_are_a_problem(cell: str, tmp_path: Path) -> None:
    """The place of the cell is named."""
    (tmp_path / "rows.csv").write_text(f"prompt,metadata\na cat,{cell}\n")

    with pytest.raises(ManifestError, match=r"rows\.csv:2:2: metadata: "):
        read_manifest(tmp_path / "rows.csv")


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (' \n{"prompt": "a cat"}', "jsonl"),
        ('\ufeff{"prompt": "a cat"}', "jsonl"),
        ("prompt\na cat\n", "csv"),
        ('"prompt"\n"{a cat}"\n', "csv"),
    ],
)
def test_the_format_of_a_text_is_guessed(text: str, format: str) -> None:
    """JSON lines begin with a brace."""
    assert format_of(text.encode()) == format
    assert len(manifest_of_text(text.encode(), format=None).rows) == 1


def test_problems_of_a_text_have_their_lines() -> None:
    """The name is the one that compilers use."""
    with pytest.raises(ManifestError, match=r"^<stdin>:2:1: aspect_ratio: '7:7' is not valid"):
        manifest_of_text(b"aspect_ratio,prompt\n7:7,a cat\n", format="csv")
