"""The simulator rejects what the Agents API rejects, with a detail that names the field."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.simulator.agents_api import URL, agents_api, an_image

IMAGE = {"url": URL}
PNG = {"data": base64.b64encode(an_image()).decode(), "media_type": "image/png"}
LARGE = base64.b64encode(an_image(width=8001, height=1)).decode()
VIDEO = {"type": "video"}
EDIT = {
    "type": "video_edit",
    "source": {"url": "https://a.example/b.mp4", "media_type": "video/mp4"},
}
REFRAME = {**EDIT, "type": "video_reframe"}
IMAGE_EDIT = {"type": "image_edit", "source": IMAGE}
LAYERING = {"type": "layering", "source": IMAGE}


def video(**options: Any) -> dict[str, Any]:
    return {**VIDEO, "video": options}


def edit(**options: Any) -> dict[str, Any]:
    return {**EDIT, "video": {"edit": options}}


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": "a" * 6001}, "prompt"),
    ({"prompt": None}, "prompt: null"),
    ({**EDIT, "source": None}, "source: null"),
    ({"type": "audio"}, "type"),
    ({"model": "ray-2"}, "model"),
    ({"aspect_ratio": "9:21"}, "aspect_ratio"),
    ({"aspect_ratio": None}, "aspect_ratio: null"),
    ({"output_format": "webp"}, "output_format"),
    ({"style": "comic"}, "style"),
    ({"web_search": "yes"}, "web_search"),
    ({"user_id": 7}, "user_id"),
    ({"image_ref": [IMAGE] * 10}, "image_ref"),
    ({**LAYERING, "layering": {"resolution": "4k"}}, "layering.resolution"),
    (video(resolution="480p"), "video.resolution"),
    (video(duration="9s"), "video.duration"),
    (video(loop=1), "video.loop"),
    (video(keyframes=[], keyframe_indexes=[]), "video.keyframes"),
    (video(keyframes=[IMAGE] * 65, keyframe_indexes=list(range(65))), "video.keyframes"),
    (video(keyframes=[IMAGE], keyframe_indexes=[241]), "video.keyframe_indexes"),
    (video(keyframes=[IMAGE], keyframe_indexes=[-1]), "video.keyframe_indexes"),
    (edit(strength="flex_4"), "video.edit.strength"),
    (edit(controls={"depth": {"blur": 1.5}}), "controls.depth.blur"),
    (edit(controls={"normals": {"augmentation": -1}}), "controls.normals.augmentation"),
    (edit(controls={"pose": {"strength": "weak"}}), "controls.pose.strength"),
    (edit(controls={"trajectory": {"sparsity": 2}}), "controls.trajectory.sparsity"),
    (edit(controls={"face": {"enabled": "yes"}}), "controls.face.enabled"),
    ({**REFRAME, "video": {"source_position": {"x_norm": 0}}}, "source_position.y_norm"),
    (
        {
            **REFRAME,
            "video": {"source_position": {"x_norm": 0, "y_norm": 0, "w_norm": 3, "h_norm": 1}},
        },
        "source_position.w_norm",
    ),
    (video(start_frame={"data": "????", "media_type": "image/png"}), "start_frame.data"),
]
"""Bodies of which one field is not valid by itself, and a part of the detail: answered 400."""

CONTRADICTORY: list[tuple[dict[str, Any], str]] = [
    # Refused together.
    (video(duration="10s", start_frame=IMAGE), "duration: 10s .* start_frame"),
    (video(duration="10s", end_frame=IMAGE), "duration: 10s .* end_frame"),
    (video(duration="10s", hdr=True), "duration: 10s .* hdr"),
    (video(loop=True, duration="10s"), "loop: .* 10s"),
    (video(loop=True, hdr=True), "loop: .* hdr"),
    (video(loop=True, end_frame=IMAGE), "loop: .* end_frame"),
    (video(loop=True, keyframes=[IMAGE], keyframe_indexes=[0]), "loop: .* keyframes"),
    (
        video(start_frame=IMAGE, keyframes=[IMAGE], keyframe_indexes=[0]),
        "keyframes: .* start_frame",
    ),
    (video(end_frame=IMAGE, keyframes=[IMAGE], keyframe_indexes=[0]), "keyframes: .* end_frame"),
    (video(hdr=True, resolution="360p"), "hdr: .* 360p"),
    (video(hdr=True, resolution="540p"), "hdr: .* 540p"),
    (video(exr_export=True), "exr_export: needs hdr"),
    # Keyframes and their frames.
    (video(keyframes=[IMAGE]), "keyframe_indexes: as many"),
    (video(keyframe_indexes=[0]), "keyframe_indexes: as many"),
    (video(keyframes=[IMAGE] * 2, keyframe_indexes=[5, 5]), "keyframe_indexes: must be unique"),
    (video(keyframes=[IMAGE], keyframe_indexes=[121]), "keyframe_indexes: must be at most 120"),
    (edit(keyframes=[IMAGE], keyframe_indexes=[]), "edit.keyframe_indexes: as many"),
    (edit(keyframes=[IMAGE] * 2, keyframe_indexes=[3, 3]), "edit.keyframe_indexes: must be unique"),
    (
        {
            **EDIT,
            "video": {
                "start_frame": IMAGE,
                "edit": {"keyframes": [IMAGE], "keyframe_indexes": [0]},
            },
        },
        "edit.keyframes: not with start_frame",
    ),
    # Fields of other types.
    ({"type": "video_edit"}, "source: is needed"),
    ({"type": "video_reframe"}, "source: is needed"),
    ({"type": "image_edit"}, "source: is needed"),
    ({"type": "layering"}, "source: is needed"),
    ({**VIDEO, "source": IMAGE}, "source: is not valid"),
    ({**VIDEO, "model": "uni-1"}, "model"),
    ({"model": "ray-3.2"}, "model"),
    ({**LAYERING, "model": "uni-1-max"}, "model"),
    ({**VIDEO, "aspect_ratio": "3:1"}, "aspect_ratio: must be one of"),
    ({**VIDEO, "style": "manga"}, "style"),
    ({**VIDEO, "output_format": "png"}, "output_format"),
    ({**VIDEO, "image_ref": [IMAGE]}, "image_ref"),
    ({"video": {"loop": True}}, "video: is not valid for type image"),
    ({"layering": {"resolution": "1k"}}, "layering: only"),
    ({**EDIT, "video": {"loop": True}}, "loop: only for type video"),
    ({**EDIT, "video": {"keyframes": [IMAGE], "keyframe_indexes": [0]}}, "keyframes: only"),
    ({**REFRAME, "video": {"hdr": True}}, "hdr: is not valid for type video_reframe"),
    ({**REFRAME, "video": {"start_frame": IMAGE}}, "start_frame: is not valid for type"),
    ({**REFRAME, "video": {"end_frame": IMAGE}}, "end_frame: is not valid for type"),
    ({**REFRAME, "video": {"edit": {}}}, "edit: only"),
    (
        {
            **EDIT,
            "video": {
                "source_position": dict.fromkeys(("x_norm", "y_norm", "w_norm", "h_norm"), 0)
            },
        },
        "source_position: only",
    ),
    # Numbers of references, and lengths.
    ({**IMAGE_EDIT, "image_ref": [IMAGE] * 9}, "image_ref: at most 8"),
    ({**LAYERING, "image_ref": [IMAGE]}, "image_ref: at most 0"),
    ({**LAYERING, "prompt": "a" * 501}, "prompt: at most 500"),
    # References.
    (video(start_frame={}), "start_frame: exactly one"),
    (video(start_frame={**IMAGE, **PNG}), "start_frame: exactly one"),
    (video(start_frame={"data": PNG["data"]}), "start_frame.media_type"),
    (video(start_frame={"url": "cat.jpg"}), "start_frame.url"),
    ({**EDIT, "source": IMAGE}, "source.media_type"),
    ({**EDIT, "source": PNG}, "source: an image was found"),
    (video(start_frame={**PNG, "data": LARGE}), "8000 pixels"),
    (video(start_frame={**PNG, "data": base64.b64encode(b"a text").decode()}), "not an image"),
    (video(start_frame={"generation_id": "nobody"}), "generation not found"),
    (video(start_frame={"file_id": "nobody"}), "not ready"),
    ({"image_ref": [IMAGE, {"file_id": "nobody"}]}, r"image_ref\[1\]"),
]
"""Bodies whose fields are not valid together, and a part of the detail: answered 422."""

VALID: list[dict[str, Any]] = [
    {},
    {"prompt": "a" * 6000, "model": "uni-1-max", "image_ref": [IMAGE] * 9, "aspect_ratio": "1:3"},
    {"style": "manga", "web_search": True, "output_format": "png", "user_id": "u-1"},
    {**IMAGE_EDIT, "image_ref": [IMAGE] * 8},
    {**LAYERING, "prompt": "a" * 500, "layering": {"resolution": "2k"}},
    video(resolution="360p", loop=True),
    video(start_frame=IMAGE, end_frame=PNG),
    video(start_frame=PNG, loop=True),
    video(hdr=True, exr_export=True, resolution="1080p"),
    video(duration="10s", keyframes=[IMAGE] * 64, keyframe_indexes=list(range(177, 241))),
    video(hdr=True, keyframes=[PNG], keyframe_indexes=[120]),
    edit(auto_controls=True, strength="adhere_1", keyframes=[PNG], keyframe_indexes=[400]),
    edit(controls={"depth": {"blur": 1, "enabled": True}, "pose": {"strength": "precise"}}),
    {
        **REFRAME,
        "aspect_ratio": "9:16",
        "video": {
            "resolution": "720p",
            "source_position": {"x_norm": -0.5, "y_norm": 0, "w_norm": 2, "h_norm": 1},
        },
    },
]
"""Bodies at the limits of the rules."""


async def test_each_rule_of_the_contract() -> None:
    """A body that breaks it makes no job; a body at its limit makes one."""
    async with agents_api() as api:
        for status, rows in ((400, INVALID), (422, CONTRADICTORY)):
            for body, part in rows:
                answer = await api.ask("POST", "/generations", {"prompt": "a cat", **body})
                assert answer.status == status, (body, answer)
                assert re.search(part, answer.detail), (body, answer)
        assert api.sim.ledger.jobs == []

        for body in VALID:
            await api.submit(**body)
        assert len(api.sim.ledger.jobs) == len(VALID)


async def test_a_body_must_be_a_json_object() -> None:
    """Anything else is answered 400, like data that is not a JSON object of the right type."""
    async with agents_api() as api:
        bodies = [b"", b"[]", b"{", b'{"prompt": NaN}', b"\xff", b"[" * 10_000]
        for body in bodies:
            json = {"Content-Type": "application/json"}
            answer = await api.ask("POST", "/generations", data=body, headers=json)
            assert (answer.status, "body" in answer.detail) == (400, True), body
        answer = await api.ask("POST", "/generations", data=b"{}")
        assert (answer.status, "Content-Type" in answer.detail) == (400, True)


async def test_a_source_is_a_completed_job_of_the_same_client() -> None:
    """For an extension, also a video in SDR. Sources last at most 18 s or 30 s."""
    async with agents_api() as api:
        running = await api.submit(**VIDEO)
        image = {"generation_id": await api.finished()}
        hdr = {"generation_id": await api.finished(**video(hdr=True))}
        clip = {"generation_id": await api.finished(**VIDEO)}
        api.session.headers["Authorization"] = "Bearer luma-api-another-key"
        foreign = {"generation_id": await api.finished(**VIDEO)}
        api.session.headers["Authorization"] = "Bearer luma-api-a-key"
        running_too = {"generation_id": await api.submit(**VIDEO)}

        for body, part in [
            (video(start_frame=running_too), "not completed"),
            (video(end_frame=hdr), "HDR"),
            (video(start_frame=foreign), "not found"),
            (video(keyframes=[clip], keyframe_indexes=[0]), "a video was found"),
            ({**EDIT, "source": image}, "an image was found"),
            ({**IMAGE_EDIT, "source": clip}, "a video was found"),
        ]:
            answer = await api.ask("POST", "/generations", {"prompt": "a cat", **body})
            assert answer.status == 422, body
            assert part in answer.detail
        for body in [
            video(start_frame={"generation_id": running}),
            video(start_frame=image, end_frame=clip),
            video(keyframes=[image], keyframe_indexes=[0]),
            {**EDIT, "source": hdr},
        ]:
            await api.submit(**body)
        assert (await api.ask("GET", f"/generations/{foreign['generation_id']}")).status == 404
