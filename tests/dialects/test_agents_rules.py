"""Rules of the Agents API: each is checked before anything is sent, and names its field.

The simulator has the same rules on its own, and the contract has some of them as a JSON schema.
Both are judges here: a request is refused exactly if they would refuse its body.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import AgentsDialect, InvalidRequestError, UnsupportedError
from luma_async.image_sources import Image
from luma_async.request_kinds import REQUESTS
from luma_async.requests import JobRequest, Kind
from luma_async.simulator.agents_requests import GenerationBody, check_combination
from luma_async.simulator.official_bodies import parsed
from luma_async.simulator.official_calls import RejectedError
from tests.contracts.openapi import contract

DIALECT = AgentsDialect()
URL = "https://host/a.png"
MP4 = "https://host/a.mp4"
LONG = {"duration": "10s"}
FRAMES = {"keyframes": {0: URL}}


def request_of(kind: Kind, **fields: Any) -> JobRequest:
    return REQUESTS[kind].from_mapping({"prompt": "a cat", **fields})


def problems_of(kind: Kind, **fields: Any) -> dict[str, str]:
    """Return the problems of a request by their fields."""
    with pytest.raises(InvalidRequestError) as caught:
        DIALECT.check(request_of(kind, **fields), has_source=kind == "extend")
    return caught.value.fields


RULES: list[tuple[Kind, dict[str, Any], str, str]] = [
    # What the contract calls "refused together".
    (
        "generate",
        {**LONG, "image": URL},
        "duration",
        "together with image; allowed: 5s; keyframe 0 is",
    ),
    ("generate", {**LONG, "image_end": URL}, "duration", "together with image_end; allowed: 5s"),
    ("generate", {**LONG, "hdr": True}, "duration", "together with hdr; allowed: 5s"),
    ("generate", {"loop": True, **LONG}, "loop", "together with duration='10s'"),
    ("generate", {"loop": True, "hdr": True}, "loop", "together with hdr"),
    ("generate", {"loop": True, **FRAMES}, "loop", "together with keyframes"),
    (
        "generate",
        {**FRAMES, "image": URL},
        "keyframes",
        "together with image; keyframe 0 is the first frame",
    ),
    ("generate", {**FRAMES, "image_end": URL}, "keyframes", "together with image_end"),
    ("generate", {**FRAMES, "loop": True}, "keyframes", "together with loop"),
    ("generate", {"resolution": "360p", "hdr": True}, "resolution", "hdr; allowed: 720p, 1080p"),
    ("generate", {"resolution": "540p", "hdr": True}, "resolution", "hdr; allowed: 720p, 1080p"),
    ("extend", {"resolution": "540p", "hdr": True}, "resolution", "hdr; allowed: 720p, 1080p"),
    ("edit", {"media": MP4, "resolution": "360p", "hdr": True}, "resolution", "720p, 1080p"),
    ("generate", {"exr": True}, "exr", "only together with hdr=True"),
    ("generate", {"exr": True, "hdr": False}, "exr", "only together with hdr=True"),
    ("edit", {"media": MP4, "exr": True}, "exr", "only together with hdr=True"),
    ("extend", {"exr": True}, "exr", "only together with hdr=True"),
    # An extension has its source in the place of one of the two frames.
    ("extend", LONG, "duration", "'10s' is not allowed for an extension; allowed: 5s"),
    ("extend", {"image": URL}, "image", "it is the end of the source; the last frame is image_end"),
    ("extend", {"backward": True, "image_end": URL}, "image_end", "the beginning of the source"),
    ("edit", {"media": MP4, **FRAMES, "image": URL}, "keyframes", "together with image"),
    # Limits.
    ("layers", {"media": URL, "prompt": "x" * 501}, "prompt", "501 characters; the agents dialect"),
    ("layers", {"media": URL, "prompt": ""}, "prompt", "is empty; the agents dialect needs one"),
    ("reframe", {"media": MP4, "aspect_ratio": "1:1", "prompt": " "}, "prompt", "is empty"),
    ("generate", {"aspect_ratio": "3:1"}, "aspect_ratio", "9:16, 3:4, 1:1, 4:3, 16:9, 21:9"),
    ("generate", {"aspect_ratio": "9:21"}, "aspect_ratio", "9:16, 3:4, 1:1, 4:3, 16:9, 21:9"),
    ("extend", {"aspect_ratio": "2:3"}, "aspect_ratio", "9:16, 3:4, 1:1, 4:3, 16:9, 21:9"),
    ("reframe", {"media": MP4, "aspect_ratio": "1:2"}, "aspect_ratio", "9:16, 3:4, 1:1"),
    ("image", {"aspect_ratio": "9:21"}, "aspect_ratio", "3:1, 2:1, 21:9, 16:9, 4:3, 3:2, 1:1"),
    ("edit_image", {"media": URL, "aspect_ratio": "9:21"}, "aspect_ratio", "3:1, 2:1, 21:9"),
    ("generate", {"resolution": "4k"}, "resolution", "allowed: 360p, 540p, 720p, 1080p"),
    ("extend", {"resolution": "720"}, "resolution", "allowed: 360p, 540p, 720p, 1080p"),
    ("edit", {"media": MP4, "resolution": "4k"}, "resolution", "360p, 540p, 720p, 1080p"),
    (
        "reframe",
        {"media": MP4, "aspect_ratio": "1:1", "resolution": "4k"},
        "resolution",
        "360p, 540p, 720p, 1080p",
    ),
    ("generate", {"duration": "9s"}, "duration", "allowed: 5s, 10s"),
    ("extend", {"duration": "9s"}, "duration", "allowed: 5s, 10s"),
    ("generate", {"model": "ray-2"}, "model", "allowed: ray-3.2"),
    ("generate", {"model": "uni-1"}, "model", "allowed: ray-3.2"),
    ("edit", {"media": MP4, "model": "uni-1"}, "model", "allowed: ray-3.2"),
    ("image", {"model": "ray-3.2"}, "model", "allowed: uni-1, uni-1-max"),
    ("edit_image", {"media": URL, "model": "ray-3.2"}, "model", "allowed: uni-1, uni-1-max"),
    ("layers", {"media": URL, "model": "uni-1-max"}, "model", "allowed: uni-1"),
    ("image", {"references": [URL] * 10}, "references", "has 10 images; allowed: 9"),
    ("edit_image", {"media": URL, "references": [URL] * 9}, "references", "9 images; allowed: 8"),
    (
        "generate",
        {"keyframes": {0: URL, 121: URL, 130: URL}},
        "keyframes",
        "frame 121, 130 is after the end of the video; allowed: 0 to 120, or to 240 with duration=",
    ),
    ("generate", {"keyframes": {121: URL}, "duration": "5s"}, "keyframes", "0 to 120"),
    ("generate", {"keyframes": {241: URL}, **LONG}, "keyframes", "allowed: 0 to 240"),
    (
        "edit",
        {"media": MP4, "controls": {"sound": {}}},
        "controls",
        "depth, face, normals, pose, t",
    ),
    ("edit", {"media": MP4, "controls": {"face": True}}, "controls", "face must be an object"),
    ("edit", {"media": MP4, "controls": {"face": {"enabled": 1}}}, "controls", "True or False"),
    ("edit", {"media": MP4, "controls": {"face": {"blur": 1}}}, "controls", "allowed: enabled"),
    ("edit", {"media": MP4, "controls": {"depth": {"blur": 1.5}}}, "controls", "from 0 to 1"),
    ("edit", {"media": MP4, "controls": {"depth": {"blur": True}}}, "controls", "from 0 to 1"),
    ("edit", {"media": MP4, "controls": {"normals": {"augmentation": -1}}}, "controls", "0 to 1"),
    ("edit", {"media": MP4, "controls": {"pose": {"strength": "soft"}}}, "controls", "'precise'"),
    ("edit", {"media": MP4, "controls": {"trajectory": {"sparsity": "x"}}}, "controls", "0 to 1"),
    *(
        (
            "reframe",
            {
                "media": MP4,
                "aspect_ratio": "1:1",
                "source_position": {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0, **wrong},
            },
            "source_position",
            problem,
        )
        for wrong, problem in (
            ({"width": 2.5}, "width must be at most 2, got 2.5"),
            ({"height": 3.0}, "height must be at most 2, got 3"),
            ({"x": float("inf")}, "finite"),
            ({"y": float("nan")}, "finite"),
        )
    ),
    (
        "edit",
        {"media": "https://host/video?id=7"},
        "media",
        '{"media_type": "video/mp4"}} as extra',
    ),
    ("reframe", {"media": "https://h/a.avi", "aspect_ratio": "1:1"}, "media", "such as .mp4"),
]


@pytest.mark.parametrize(("kind", "fields", "name", "problem"), RULES, ids=repr)
def test_each_rule_is_checked_before_anything_is_sent(
    kind: Kind, fields: dict[str, Any], name: str, problem: str
) -> None:
    """The problem is that of our field, and says what is allowed."""
    found = problems_of(kind, **fields)

    assert problem in found[name]


def test_a_rule_of_the_request_itself_is_checked_when_it_is_made() -> None:
    """No server takes a loop with an end frame, or more than 6,000 characters."""
    for fields, name in (
        ({"loop": True, "image_end": URL}, "loop"),
        ({"prompt": "x" * 6001}, "prompt"),
        ({"keyframes": dict.fromkeys(range(65), URL)}, "keyframes"),
        ({"keyframes": {}}, "keyframes"),
        ({"keyframes": {-1: URL}}, "keyframes"),
    ):
        with pytest.raises(InvalidRequestError, match=f"^{name}: "):
            request_of("generate", **fields)


def test_all_problems_of_a_request_are_told_at_once() -> None:
    """Several fields, each with all of the fields that it excludes."""
    found = problems_of(
        "generate",
        image=URL,
        duration="10s",
        hdr=True,
        loop=True,
        resolution="540p",
        aspect_ratio="1:3",
        model="ray-2",
    )

    assert set(found) == {"duration", "loop", "resolution", "aspect_ratio", "model"}
    assert "together with image, hdr" in found["duration"]
    assert "together with hdr, duration='10s'" in found["loop"]


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("expand_prompt", True, "the server decides"),
        ("concepts", ["dolly_zoom"], "in the prompt"),
        ("notify_hook", "https://host/hook", "await the task, or pass on_update="),
    ],
)
def test_fields_that_the_api_does_not_have_are_refused_with_advice(
    name: str, value: Any, instead: str
) -> None:
    """They are not ignored, because the job would be paid for."""
    with pytest.raises(UnsupportedError, match="the agents dialect does not offer it") as caught:
        DIALECT.check(request_of("generate", **{name: value}), has_source=False)

    assert instead in caught.value.fields[name]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("generate", {"loop": False, "hdr": False, "exr": False, **LONG}),
        ("generate", {"keyframes": {0: URL, 240: URL}, **LONG}),
        ("generate", {"keyframes": {120: URL}, "hdr": True, "exr": True, "resolution": "1080p"}),
        ("generate", {"image": URL, "image_end": URL, "hdr": True}),
        ("generate", {"prompt": "x" * 6000}),
        ("extend", {"image_end": URL}),
        ("extend", {"image": URL, "backward": True}),
        ("edit", {"media": MP4, "keyframes": {431: URL}}),
        ("edit", {"media": "https://host/video", "extra": {"source": {"media_type": "video/x"}}}),
        ("layers", {"media": URL, "prompt": "x" * 500, "model": "uni-1"}),
        ("image", {"references": [URL] * 9}),
        ("edit_image", {"media": URL, "references": [URL] * 8}),
    ],
    ids=repr,
)
def test_what_is_at_a_limit_is_allowed(kind: Kind, fields: dict[str, Any]) -> None:
    """Limits are the largest allowed values, and `False` excludes nothing."""
    DIALECT.check(request_of(kind, **fields), has_source=kind == "extend")


@cache
def schema() -> jsonschema_rs.Validator:
    document = contract("agents")
    schema = {"$ref": "#/components/schemas/GenerationRequest"}
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


IMAGE = Image(memoryview(b"image"), "image/png", "digest")
PLACE = {"x": -0.5, "y": 0.0, "width": 2.0, "height": 1.0}
VALUES: dict[str, list[Any]] = {
    "prompt": ["", "x" * 500, "x" * 501, "x" * 6000],
    "image": [URL, IMAGE],
    "image_end": ["file-id:f-1", "generation:g-1"],
    "media": [URL, MP4, IMAGE, "file-id:f-1", "generation:g-1"],
    "references": [[URL], [IMAGE] * 8, [URL] * 9, [URL] * 10],
    "keyframes": [{frame: IMAGE} for frame in (0, 120, 121, 240, 241)] + [{9: URL, 0: URL}],
    "aspect_ratio": ["1:1", "3:4", "4:3", "9:16", "16:9", "21:9", "9:21", "3:1", "1:3", "2:3"],
    "resolution": ["360p", "540p", "720p", "1080p", "4k"],
    "duration": ["5s", "10s", "9s"],
    "model": ["ray-3.2", "ray-2", "uni-1", "uni-1-max"],
    "loop": [True, False],
    "hdr": [True, False],
    "exr": [True, False],
    "backward": [True, False],
    "strength": ["adhere_1", "reimagine_3"],
    "auto_controls": [True, False],
    "controls": [
        {name: control}
        for name, control in [
            ("depth", {"enabled": True, "blur": 1}),
            ("depth", {"blur": 1.1}),
            ("face", {"enabled": False}),
            ("normals", {"augmentation": 0}),
            ("normals", {"augmentation": -0.1}),
            ("pose", {"strength": "coarse"}),
            ("pose", {"strength": "fine"}),
            ("trajectory", {"sparsity": 0.5}),
            ("trajectory", {"sparsity": True}),
        ]
    ],
    "source_position": [PLACE, {**PLACE, "width": 2.1}, {**PLACE, "height": 2.1}],
    "format": ["png", "jpeg"],
    "style": ["auto", "manga"],
    "web_search": [True, False],
    "user_id": ["u-1"],
}
"""Values of each field, within and beyond the limits."""


def judge(kind: Kind, fields: dict[str, Any]) -> bool | None:
    """Compare the dialect with the server. Return the common verdict, `None` if there is none.

    A request that its own class refuses has none.
    """
    try:
        request = REQUESTS[kind].from_mapping(fields)
    except InvalidRequestError:
        return None
    own = request.source_need == "none" or fields.get("media") is not None
    source = None if own else "job-1"
    body = json.loads(bytes(DIALECT.submission(request, source).body or b""))
    try:
        DIALECT.check(request, has_source=source is not None)
    except InvalidRequestError as refusal:
        if kind == "extend" and not refusal.fields.keys().isdisjoint(("image", "image_end")):
            return None  # the body has one of two first or last frames
        with pytest.raises(RejectedError):
            check_combination(parsed(GenerationBody, body))
        return False
    assert [error.message for error in schema().iter_errors(body)] == []
    check_combination(parsed(GenerationBody, body))
    return True


@pytest.mark.parametrize("kind", REQUESTS)
def test_two_fields_are_refused_exactly_if_the_server_would_refuse_them(kind: Kind) -> None:
    """Each pair of values of any two fields, for a rule is about one field or about two."""
    base = {"prompt": "x", **({"aspect_ratio": "1:1"} if kind == "reframe" else {})}
    each = [
        {name: value}
        for name in REQUESTS[kind].model_fields
        for value in VALUES.get(name, [])
        if kind != "layers" or name != "resolution"
    ]
    verdicts = [judge(kind, base | one | other) for one in each for other in each]

    assert {True, False} <= set(verdicts)


@st.composite
def requests(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    kind = draw(st.sampled_from(sorted(REQUESTS)))
    names = [name for name in VALUES if name in REQUESTS[kind].model_fields]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=6))
    return kind, {
        "prompt": "x",
        "aspect_ratio": "1:1",
        **{name: draw(st.sampled_from(VALUES[name][:2])) for name in chosen},
    }


@given(requests())
def test_many_fields_are_refused_exactly_if_the_server_would_refuse_them(
    request: tuple[Kind, dict[str, Any]],
) -> None:
    """What passes has a body that the contract and the simulator accept, and the reverse."""
    judge(*request)
