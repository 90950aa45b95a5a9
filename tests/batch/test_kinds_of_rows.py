"""Kinds of rows: images, edits and the others, their sources, and the rules of a dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    FileReference,
    GatewayDialect,
    GenerateRequest,
    GenerationReference,
    ImageRequest,
    Job,
    LayersRequest,
    ManifestError,
    ReframeRequest,
    SourcePosition,
)
from luma_async.batch import Manifest
from luma_async.batch.columns import BOOLEANS, COLUMNS, IMAGES, JSON_OBJECTS, kind_of, parts
from luma_async.batch.manifest import manifest_of_text
from luma_async.batch.rows import Row
from luma_async.request_kinds import FIELDS, REQUESTS
from tests.media.image_files import an_image

UUID = "11111111-2222-3333-4444-555555555555"


def rows_of(text: str, *, format: str = "csv") -> dict[str, Row]:
    return {row.key: row for row in manifest_of_text(text.encode(), format=format).rows}


def problems_of(rows: Any, **arguments: Any) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        if isinstance(rows, str):
            manifest_of_text(rows.encode(), format="csv", **arguments)
        else:
            Manifest.of(rows, **arguments)
    return str(caught.value).removeprefix("<stdin>:").replace("\n<stdin>:", "\n").split("\n")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with two images and the beginning of a video."""
    for name in ("a.png", "my cat.png"):
        (tmp_path / name).write_bytes(an_image())
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(64))
    (tmp_path / "note.txt").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_field_of_a_request_is_a_column() -> None:
    """Booleans, images and JSON objects are those of the requests' own types."""
    fields = {
        name: field for each in REQUESTS.values() for name, field in each.model_fields.items()
    }
    types = {name: repr(field.annotation) for name, field in fields.items()}

    assert set(FIELDS) < set(COLUMNS)
    assert {name for name, text in types.items() if "bool" in text} == BOOLEANS
    images = {each for request in REQUESTS.values() for each in request._image_fields}
    assert images == IMAGES
    assert {name for name, text in types.items() if "Mapping[str, typing.Any]" in text} == (
        JSON_OBJECTS
    )


@pytest.mark.usefixtures("files")
def test_a_row_of_each_kind_is_read_from_a_table() -> None:
    """A spreadsheet has texts only, in the forms in which people write them."""
    rows = rows_of(
        "key,kind,prompt,extends,source,Aspect Ratio,hdr,keyframes,references,concepts,strength,"
        "controls,source_position,format,user_id,backward,resolution\n"
        'walk,,a cat walks,,,9:16,TRUE,"{""0"": ""a.png"", ""48"": ""generation:job-1""}",,'
        '"dolly_zoom, pan left",,,,,me,FALSE,\n'
        f"before,Extend,it wakes,,{UUID},,,,,,,,,,,WAHR,\n"
        'night,edit,at night,,walk,,,,,,flex_1,"{""pose"": {""enabled"": true}}",,,,,\n'
        "wide,reframe,,,night,16:9,,,,,,,0 0.25 1 0.5,,,,\n"
        'cat,image,a cat,,,3:1,,,"my cat.png, https://example.com/a,b.png",,,,,png,,,\n'
        "red,Edit-Image,a red cat,,cat,,,,a.png generation:job-2,,,,,,,,\n"
        "parts,layers,,,red,,,,,,,,,,,,2k\n"
        "clip,edit,at dawn,,clip.mp4,,,,,,,,,,,,\n"
        "web,edit_image,a dog,,https://example.com/dog.png,,,,,,,,,,,,\n"
    )

    assert {key: row.request for key, row in rows.items()} == {
        "walk": GenerateRequest(
            "a cat walks",
            aspect_ratio="9:16",
            hdr=True,
            keyframes={0: Path("a.png"), 48: GenerationReference("job-1")},
            concepts=("dolly_zoom", "pan left"),
            user_id="me",
        ),
        "before": ExtendRequest("it wakes", backward=True),
        "night": EditRequest("at night", strength="flex_1", controls={"pose": {"enabled": True}}),
        "wide": ReframeRequest(
            "16:9", source_position=SourcePosition(x=0, y=0.25, width=1, height=0.5)
        ),
        "cat": ImageRequest(
            "a cat",
            aspect_ratio="3:1",
            references=(Path("my cat.png"), "https://example.com/a,b.png"),
            format="png",
        ),
        "red": EditImageRequest(
            "a red cat", references=(Path("a.png"), GenerationReference("job-2"))
        ),
        "parts": LayersRequest(resolution="2k"),
        "clip": EditRequest("at dawn", media=Path("clip.mp4")),
        "web": EditImageRequest("a dog", media="https://example.com/dog.png"),
    }
    assert {key: row.extends for key, row in rows.items() if row.extends} == {
        "before": UUID,
        "night": "walk",
        "wide": "night",
        "red": "cat",
        "parts": "red",
    }


@pytest.mark.usefixtures("files")
def test_json_has_the_same_rows_with_its_own_types() -> None:
    """Lists and objects need no text inside a text."""
    lines: list[dict[str, Any]] = [
        {"key": "a", "prompt": "a cat", "keyframes": {"0": "a.png"}, "concepts": ["pan_left"]},
        {"key": "b", "kind": "image", "prompt": "a dog", "references": ["a.png"]},
        {
            "key": "c",
            "kind": "reframe",
            "source": "id:job-1",
            "aspect_ratio": "1:1",
            "source_position": {"x": 0, "y": 0, "width": 1, "height": 0.5},
        },
    ]

    rows = rows_of("\n".join(map(json.dumps, lines)), format="jsonl")

    assert rows["a"].request == GenerateRequest(
        "a cat", keyframes={0: Path("a.png")}, concepts=("pan_left",)
    )
    assert rows["b"].request == ImageRequest("a dog", references=(Path("a.png"),))
    assert vars(rows["c"].request)["source_position"].height == 0.5
    assert rows["c"].source_id == "job-1"


def test_requests_of_all_kinds_are_rows_of_python() -> None:
    """A `Job` has a source that is a job; a request may have its own file."""
    edit = EditImageRequest("red", media=FileReference("file-1"))

    first, second = Manifest.of([edit, Job(LayersRequest(), source="job-1")]).rows

    assert (first.request, first.extends) == (edit, None)
    assert (second.request, second.source_id) == (LayersRequest(), "job-1")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a", ["a"]),
        ("a b", ["a", "b"]),
        ("my cat.png, dog.png;", ["my cat.png", "dog.png"]),
        ("a.png,b.png", ["a.png", "b.png"]),
        ("a.png\nmy b.png", ["a.png", "my b.png"]),
        ("https://h/a,b.png,https://h/c.png", ["https://h/a,b.png", "https://h/c.png"]),
        ("https://h/a.png https://h/b.png", ["https://h/a.png", "https://h/b.png"]),
        ("data:image/png;base64,AAAA, b.png", ["data:image/png;base64,AAAA", "b.png"]),
        ("file-id:f-1, generation:g-1", ["file-id:f-1", "generation:g-1"]),
        ('["a b", "c"]', ["a b", "c"]),
    ],
)
def test_lists_are_read_as_people_write_them(cell: str, expected: list[str]) -> None:
    """Commas, semicolons and new lines separate; blanks do if nothing else does."""
    assert parts(cell) == expected


@pytest.mark.parametrize("kind", REQUESTS)
def test_kinds_are_found_in_any_case(kind: str) -> None:
    """Blanks and hyphens count as underscores."""
    assert kind_of(f" {kind.replace('_', '-').title()}") == kind
    assert kind_of("video") is None


BAD: dict[str, tuple[str, list[str]]] = {
    "kind": (
        "prompt,kind\na,upscale\n",
        ["2:2: kind: 'upscale' is not a kind; allowed: generate, extend, edit, reframe, image,"],
    ),
    "field of another kind": (
        "prompt,kind,loop,hdr,format,strength\na,image,no,yes,png,flex_1\n",
        [
            "2:4: hdr: a row of the kind image has no hdr; leave it empty",
            "2:6: strength: a row of the kind image has no strength; leave it empty",
        ],
    ),
    "forms": (
        (
            "prompt,kind,source,keyframes,references,source_position,aspect_ratio\n"
            'a,,,"[""a.png""]",,,\nb,,,{0: a.png},,,\nc,image,,,[1],,\n,reframe,id:1,,,0 0 1,1:1\n'
        ),
        [
            "2:4: keyframes: is not an object of images by the numbers of their frames; write {",
            "3:4: keyframes: cannot be read: Expecting property name",
            "4:5: references: cannot be read: each part must be a text",
            "5:6: source_position: cannot be read: must be four numbers: x, y, width, height",
        ],
    ),
    "files": (
        (
            "key,prompt,kind,source,keyframes,references\n"
            'a,x,,,"{""7"": ""note.txt""}",\nb,x,image,,,"a.png, nowhere.png"\n'
            "c,x,edit,note.txt,,\nd,x,edit_image,clip.mp4,,\n"
        ),
        [
            "2:5: keyframes[7]: 'note.txt' is not an image",
            "3:6: references[1]: 'nowhere.png' cannot be read: No such file or directory",
            "4:4: source: 'note.txt' is neither a video nor an image",
            "5:4: source: 'clip.mp4' is not an image",
        ],
    ),
    "no source": (
        (
            "key,prompt,kind,source,media\n"
            "a,x,edit,,\nb,x,extend,,\nc,x,layers,nobody,\nd,x,edit,id:1,clip.mp4\n"
            "e,x,extend,https://h/a.mp4,\nf,x,edit,https://h/a.mp4,clip.mp4\ng,x,edit,http://,\n"
        ),
        [
            "2:4: source: is required: a row of the kind edit works on a job, file or URL",
            "3:4: source: is required: a row of the kind extend works on a job",
            "4:4: source: no row has the key 'nobody', and there is no such file; the id of a job",
            "5:5: media: excludes the column source; leave one of them empty",
            "6:4: source: 'https://h/a.mp4' is neither the key of a row nor the id of a job",
            "7:5: media: excludes the column source; leave one of them empty",
            "8:4: source: no row has the key 'http://'",
        ],
    ),
    "source of another kind": (
        (
            "key,prompt,kind,source,extends\n"
            "a,x,image,,\nb,x,extend,a,\nc,x,,,\nd,x,layers,c,\ne,x,image,c,\nf,x,edit,,c\n"
            "g,x,,c,c\n"
        ),
        [
            "3:4: source: row 'a' makes an image; a row of the kind extend works on a video",
            "5:4: source: row 'c' makes a video; a row of the kind layers works on an image",
            "6:4: source: a row of the kind image works on no other job",
            "7:5: extends: is for extensions; name the source of a row of the kind edit in source",
            "8:4: source: excludes extends; leave one of them empty",
        ],
    ),
    "circle": (
        "key,prompt,kind,source\na,x,edit,b\nb,x,edit,a\n",
        ["2:4: these rows extend each other in a cycle: a -> b -> a"],
    ),
}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("case", BAD)
def test_problems_have_the_place_of_their_cell(case: str) -> None:
    """Nothing is paid for before all of them are corrected."""
    text, expected = BAD[case]

    found = problems_of(text)

    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning), line


def test_the_rules_of_a_dialect_are_applied_to_all_rows() -> None:
    """With the place of the cell, together with all other problems."""
    text = (
        "key,prompt,kind,aspect_ratio,hdr,image,source\n"
        "a,a cat,,3:1,yes,generation:job-1,\n"
        "b,it bows,edit,,,,id:job-2\n"
        "c,a cat,,16:9,maybe,,\n"
        f"d,{'x' * 5001},,,,,\n"
    )

    found = problems_of(text, dialect=GatewayDialect())

    beginnings = [
        "2:4: aspect_ratio: '3:1' is not valid here; allowed: 1:1",
        "2:5: hdr: the gateway dialect does not offer it; use the agents dialect, or",
        "2:6: image: must be a URL or a file",
        "3:3: edit: the gateway dialect does not offer it",
        "4:5: hdr: 'maybe' is neither true nor false",
        "5:2: prompt: has 5001 characters; the gateway dialect allows 5000",
    ]
    assert len(found) == len(beginnings), found
    for line, beginning in zip(found, beginnings, strict=True):
        assert line.startswith(beginning), line


def test_kinds_with_the_same_fields_have_different_keys() -> None:
    """The digest of a row is its job key, if it has no other."""
    source = {"source": "id:job-1", "prompt": "x"}
    rows = [{**source, "kind": kind} for kind in ("extend", "edit", "edit_image", "layers")]

    assert len({row.key for row in Manifest.of(rows).rows}) == len(rows)
    extends = Manifest.of([{"prompt": "x", "extends": "id:job-1"}]).rows[0]
    assert extends.key == Manifest.of(rows).rows[0].key
