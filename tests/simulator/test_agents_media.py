"""The outputs of the simulated Agents API are real files that show what was asked for."""

from __future__ import annotations

import base64
import io
import math
import struct
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from tests.simulator.agents_api import AgentsApi, agents_api, an_image, frames_of


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two images, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


async def generation(api: AgentsApi, prompt: str = "a cat", **body: Any) -> dict[str, str]:
    return {"generation_id": await api.finished(prompt, **body)}


async def test_videos_last_as_long_as_asked_for() -> None:
    """Five or ten seconds, with a frame at the beginning and one at the end."""
    async with agents_api() as api:
        short = await api.finished(type="video", aspect_ratio="1:1", video={"resolution": "360p"})
        long = await api.finished(type="video", aspect_ratio="21:9", video={"duration": "10s"})
        job = api.sim.ledger.jobs[0]
        frames = await api.frames(long)

        assert (job.width, job.height, job.frames) == (360, 360, 121)
        assert len(frames) == 241
        assert frames[0].size == (150, 64)
        assert (await api.look(short))["output"][0]["type"] == "video"


async def test_an_extension_continues_its_source_or_leads_to_it() -> None:
    """The frame where they meet is the same."""
    async with agents_api() as api:
        source = await generation(api, type="video", aspect_ratio="4:3")
        forward = await api.finished("on", type="video", video={"start_frame": source})
        backward = await api.finished("before", type="video", video={"end_frame": source})
        of_source, after, before = [
            await api.frames(id) for id in (source["generation_id"], forward, backward)
        ]

        assert len(of_source) == len(after) == len(before) == 121
        assert difference(of_source[-1], after[0]) < 4
        assert difference(before[-1], of_source[0]) < 4
        assert difference(of_source[0], after[-1]) > 8
        assert difference(before[0], of_source[0]) > 8


async def test_an_edit_shows_its_source_with_the_new_prompt() -> None:
    """It has the size and the duration of its source, and differs where the caption is."""
    async with agents_api() as api:
        source = await generation(api, type="video", video={"duration": "10s"})
        edited = await api.finished("another cat with a hat", type="video_edit", source=source)
        old, new = [await api.frames(id) for id in (source["generation_id"], edited)]
        width, height = old[0].size
        above = (0, 0, width, height // 3)

        assert len(old) == len(new) == 241
        assert difference(old[100].crop(above), new[100].crop(above)) < 4
        assert difference(old[100], new[100]) > difference(
            old[100].crop(above), new[100].crop(above)
        )


async def test_a_reframe_has_the_new_ratio() -> None:
    """Also of a video that was uploaded, or sent within the request."""
    async with agents_api() as api:
        source = await generation(api, type="video")
        content = (await api.files(source["generation_id"]))[0]
        inline = {"data": base64.b64encode(content).decode(), "media_type": "video/mp4"}
        uploaded = {"file_id": await api.upload(content, "video/mp4")}
        ids = [
            await api.finished(type="video_reframe", source=each, aspect_ratio="9:16")
            for each in (source, inline, uploaded)
        ]
        edited = await api.finished(type="video_edit", source=uploaded)

        for id in ids:
            frames = await api.frames(id)
            assert (frames[0].size, len(frames)) == ((64, 114), 121)
        frames = await api.frames(edited)
        assert (frames[0].size, len(frames)) == ((114, 64), 121)


async def test_a_source_video_lasts_18_or_30_seconds_at_most() -> None:
    """The length is known of generations, uploads and inline data."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width = stream.height = 16
        for _ in range(25):
            frame = av.VideoFrame.from_image(Image.new("RGB", (16, 16)))  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    async with agents_api() as api:
        uploaded = {"file_id": await api.upload(file.getvalue(), "video/mp4")}
        body = {"prompt": "a cat", "source": uploaded, "type": "video_edit"}
        rejected = await api.ask("POST", "/generations", body)
        await api.submit(type="video_reframe", source=uploaded, aspect_ratio="1:1")

        assert (rejected.status, rejected.detail) == (
            422,
            "source: the video must last at most 18 s",
        )


@pytest.mark.parametrize(
    ("fields", "form", "size"),
    [
        ({}, "JPEG", (114, 64)),
        ({"output_format": "png", "aspect_ratio": "3:1"}, "PNG", (192, 64)),
        ({"output_format": "jpeg", "aspect_ratio": "1:2"}, "JPEG", (64, 128)),
    ],
)
async def test_images(fields: dict[str, str], form: str, size: tuple[int, int]) -> None:
    """They have the format and the ratio that were asked for."""
    async with agents_api() as api:
        id = await api.finished(**fields)
        look, (content,) = await api.look(id), await api.files(id)
        edited = await api.finished("b", type="image_edit", source={"generation_id": id})

        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.size) == (form, size)
        assert look["output"][0]["type"] == "image"
        assert "layer" not in look["output"][0]
        with Image.open(io.BytesIO((await api.files(edited))[0])) as image:
            assert image.size == size


async def test_layers_make_up_the_image() -> None:
    """PNG files with transparency, from front to back, the last one without."""
    async with agents_api() as api:
        source = await generation(api, output_format="png")
        id = await api.finished("the cat alone", type="layering", source=source)
        layers = [output["layer"] for output in (await api.look(id))["output"]]
        images = [Image.open(io.BytesIO(each)) for each in await api.files(id)]
        whole = Image.new("RGBA", images[0].size)
        for image in reversed(images):
            whole.alpha_composite(image)
        (content,) = await api.files(source["generation_id"])
        with Image.open(io.BytesIO(content)) as image:
            original = image.convert("RGB")

        assert {image.mode for image in images} == {"RGBA"}
        assert [layer["index"] for layer in layers] == [0, 1, 2]
        assert [layer["alpha_hint"] for layer in layers] == ["hard", "soft", "none"]
        assert all(layer["label"] and layer["description"] for layer in layers)
        least = [image.getchannel("A").getextrema()[0] for image in images]
        assert least == [0, 0, 255]
        assert difference(whole.convert("RGB"), original) < 3


async def test_layers_of_an_uploaded_image() -> None:
    """They have its ratio, and the resolution that was asked for."""
    async with agents_api() as api:
        file = {"file_id": await api.upload(an_image(width=60, height=60), "image/png")}
        layering = {"resolution": "1k"}
        id = await api.finished("a", type="layering", source=file, layering=layering)

        assert [len(await api.files(id)), api.sim.ledger.jobs[0].width] == [3, 1024]


async def test_an_exr_file_is_in_linear_light() -> None:
    """It is the second output of an HDR video, and readable by FFmpeg."""
    async with agents_api() as api:
        hdr = {"hdr": True, "exr_export": True}
        id = await api.finished(type="video", aspect_ratio="1:1", video=hdr)
        look, (mp4, exr) = await api.look(id), await api.files(id)
        first = frames_of(mp4)[0]
        with av.open(io.BytesIO(exr), "r", format="exr_pipe") as container:
            frame = next(container.decode(video=0))
            red = struct.unpack_from("<e", bytes(frame.planes[2]), 5 * frame.planes[2].line_size)[0]

        assert [output["url"].partition("?")[0][-4:] for output in look["output"]] == [
            ".mp4",
            ".exr",
        ]
        assert exr.startswith(b"\x76\x2f\x31\x01")
        assert (frame.width, frame.height) == first.size
        shown = first.crop((0, 5, 1, 6)).tobytes()[0]
        assert math.isclose(1.055 * red ** (1 / 2.4) - 0.055, shown / 255, abs_tol=0.05)
