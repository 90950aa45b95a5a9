"""The client's calls for each kind of job, at the simulator's Agents API over real sockets."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image as PillowImage

from luma_async import (
    AgentsDialect,
    BadRequestError,
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    FileReference,
    GenerateRequest,
    Generation,
    GenerationFailedError,
    GenerationReference,
    ImageRequest,
    InvalidRequestError,
    Job,
    LayersRequest,
    LumaClient,
    NotFoundError,
    ReframeRequest,
    SourcePosition,
    State,
    UnsupportedError,
    VideoTask,
    image_from,
)
from luma_async.request_kinds import REQUESTS
from luma_async.simulator import Fixed, Simulator
from luma_async.simulator.simulated_jobs import SimulatedJob
from tests.clients import HOUR, connect, until
from tests.media.image_files import an_image, as_data_uri

PNG = an_image()
DATA = {"data": base64.b64encode(PNG).decode(), "media_type": "image/png"}
MP4 = "https://host/a.mp4"


def small() -> Simulator:
    return Simulator(durations=Fixed(0.02), short_side=64, same_films=True)


def agents(sim: Simulator, **settings: Any) -> LumaClient:
    return connect(sim, dialect=AgentsDialect(), **settings)


def last(sim: Simulator) -> SimulatedJob:
    return sim.ledger.jobs[-1]


def size_of(path: Path) -> tuple[int, int]:
    if path.suffix == ".mp4":
        with av.open(str(path)) as film:
            return film.streams.video[0].width, film.streams.video[0].height
    with PillowImage.open(path) as image:
        return image.size


async def test_each_kind_of_job_ends_with_its_files(tmp_path: Path) -> None:
    """A video, its extensions in both directions, an edit, another ratio, images and layers."""
    async with Simulator(durations=Fixed(0.02), short_side=64) as sim, agents(sim) as luma:

        async def files(task: VideoTask) -> tuple[Generation, tuple[Path, ...]]:
            generation = await task
            assert generation.state is State.COMPLETED
            return generation, await luma.download_outputs(generation, tmp_path)

        video, (film,) = await files(await luma.generate("a cat", aspect_ratio="16:9"))
        on, (longer,) = await files(await luma.extend(video, "it bows", image_end=PNG))
        _, (earlier,) = await files(await luma.extend(video, "it wakes", backward=True))
        edit, (winter,) = await files(await luma.edit(video, "winter", strength="flex_1"))
        _, (tall,) = await files(await luma.reframe(edit, "9:16", "a wide beach"))
        image, (oil,) = await files(await luma.generate_image("a cat, in oil", format="png"))
        _, (hat,) = await files(await luma.edit_image(image, "with a hat", format="png"))
        layers, parts = await files(await luma.extract_layers(image, "cat, background"))
        _, (bright, exr) = await files(await luma.generate("a sunrise", hdr=True, exr=True))

        assert [path.suffix for path in (film, longer, earlier, winter, tall)] == [".mp4"] * 5
        assert [path.suffix for path in (oil, hat, *parts)] == [".png"] * (2 + len(parts))
        assert [path.suffix for path in (bright, exr)] == [".mp4", ".exr"]
        assert size_of(film) == size_of(winter)
        assert size_of(tall)[0] < size_of(tall)[1]
        assert [asset.layer and asset.layer.index for asset in layers.outputs] == [0, 1, 2]
        assert (on.type, edit.type, layers.type) == ("video", "video_edit", "layering")
        assert (video.model, image.model) == ("ray-3.2", "uni-1")
        assert sim.ledger.requests["agents.generate"] == len(sim.ledger.jobs) == 9
        assert sim.ledger.keys_seen_by_media == []


async def test_the_fields_of_each_kind_arrive(tmp_path: Path) -> None:
    """The server has them under its own names, with the bytes of each image."""
    (tmp_path / "a.png").write_bytes(PNG)
    async with small() as sim, agents(sim) as luma:
        video = await luma.run("a cat", keyframes={0: PNG, 60: "https://h/b.png"}, duration="10s")
        assert last(sim).request["video"] == {
            "duration": "10s",
            "keyframes": [DATA, {"url": "https://h/b.png"}],
            "keyframe_indexes": [0, 60],
        }
        await luma.edit(
            video,
            "winter",
            controls={"depth": {"blur": 0.5}},
            keyframes={10: tmp_path / "a.png"},
            user_id="u-1",
        )
        assert last(sim).request == {
            "type": "video_edit",
            "prompt": "winter",
            "model": "ray-3.2",
            "user_id": "u-1",
            "video": {
                "edit": {
                    "controls": {"depth": {"blur": 0.5}},
                    "keyframes": [DATA],
                    "keyframe_indexes": [10],
                }
            },
            "source": {"generation_id": video.id},
        }
        place = SourcePosition(x=0, y=-0.5, width=1, height=2)
        await luma.reframe(video, "1:1", "a beach", source_position=place)
        assert last(sim).request["video"] == {
            "source_position": {"x_norm": 0, "y_norm": -0.5, "w_norm": 1, "h_norm": 2}
        }
        image = await luma.run(ImageRequest("a cat", style="manga", web_search=True))
        await luma.generate_image("two cats", references=[image, as_data_uri(PNG)])
        assert last(sim).request["image_ref"] == [{"generation_id": image.id}, DATA]
        await luma.extract_layers(image, "cat", resolution="2k")
        assert last(sim).request["layering"] == {"resolution": "2k"}


async def test_a_source_may_be_a_job_or_a_file(tmp_path: Path) -> None:
    """A job that is still running is awaited first; a file is sent as it is, or its URL."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    async with small() as sim, agents(sim) as luma:
        task = await luma.generate_image("a cat")
        await luma.edit_image(task, "a hat")
        image = await task
        job = {"generation_id": image.id}
        assert last(sim).request["source"] == job
        for source, sent in (
            (image, job),
            (image.id, job),
            (GenerationReference(image.id), job),
            (f"generation:{image.id}", job),
            ("https://host/a", {"url": "https://host/a"}),
            (path, DATA),
            (PNG, DATA),
            (io.BytesIO(PNG), DATA),
            (as_data_uri(PNG), DATA),
            (await image_from(path), DATA),
        ):
            await luma.edit_image(source, "a hat")
            assert last(sim).request["source"] == sent, source
        await luma.edit("https://host/a.mov", "winter")
        assert last(sim).request["source"] == {
            "url": "https://host/a.mov",
            "media_type": "video/quicktime",
        }
        with pytest.raises(BadRequestError, match=r"the file f-1 is not ready"):
            await luma.edit_image(FileReference("f-1"), "a hat")


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda luma: luma.edit("cat.mp4", "x"), r"source: .* pass pathlib.Path"),
        (lambda luma: luma.edit_image("images/cat", "x"), r"source: .* pass pathlib.Path"),
        (lambda luma: luma.edit("", "x"), "source: must not be blank"),
        (lambda luma: luma.edit(7, "x"), "media: cannot be a int"),
        (lambda luma: luma.edit(MP4, "x", media=MP4), "media: excludes a source"),
        (lambda luma: luma.edit("job-1", "x", media=MP4), "media: excludes a source"),
        (lambda luma: luma.edit(MP4, EditRequest("x", media=MP4)), "media: excludes a source"),
        (lambda luma: luma.edit(MP4, GenerateRequest("x")), "must be of the class EditRequest"),
        (lambda luma: luma.generate(EditRequest("x")), "must be of the class GenerateRequest"),
        (lambda luma: luma.edit(MP4, "x", strength="much"), "strength: 'much' is not valid"),
        (lambda luma: luma.reframe(MP4, "7:7", "x"), "aspect_ratio: '7:7' is not valid"),
        (lambda luma: luma.reframe(MP4, "9:16"), "prompt: is empty; the agents dialect needs one"),
        (lambda luma: luma.generate_image("x", references=[PNG] * 10), "references: has 10"),
        (lambda luma: luma.generate("x", loop=True, hdr=True), "loop: is not allowed together"),
        (lambda luma: luma.extend("job-1", "x", image=PNG), "image: is not allowed"),
        (lambda luma: luma.submit("x"), "request: must be a request such as GenerateRequest"),
        (lambda luma: luma.submit(EditRequest("x")), "source: is missing; pass a job, or media="),
        (
            lambda luma: luma.submit(EditRequest("x"), source=MP4),
            r"source: .* pass a file as media",
        ),
        (lambda luma: luma.submit(EditRequest("x"), source=PNG), r"an id, got <\d+ bytes>"),
        (lambda luma: luma.submit(PNG * 1000), r"GenerateRequest\(...\), got <\d+ bytes>$"),
        (lambda luma: luma.extend(MP4, "x"), "source: must be a job, got 'https://"),
        (lambda luma: luma.extend(as_data_uri(PNG * 1000), "x"), r"must be a job, got .{80,99}$"),
        (lambda luma: luma.extend("file-id:f-1", "x"), "source: must be a job, got 'file-id:f-1'"),
        (lambda luma: luma.extend("generation:j-1", "x"), "source: must be the id alone, 'j-1'"),
        (lambda luma: luma.run("x", extends=MP4), "source: must be a job, got 'https://"),
        (lambda luma: luma.edit("ftp://host/a.mp4", "x"), r"source: .* or an http\(s\) URL"),
        (lambda luma: luma.submit(ExtendRequest("x")), "source: must be a VideoTask"),
        (lambda luma: luma.submit(ImageRequest("x"), source="j"), "an ImageRequest has no source"),
        (lambda luma: luma.run("x", source="job-1"), r"source: .* a prompt takes extends="),
        (
            lambda luma: luma.run(EditRequest("x"), source="a", extends="b"),
            "extends: excludes source",
        ),
    ],
)
async def test_a_call_that_is_not_valid_sends_nothing(call: Any, problem: str) -> None:
    """The error names the argument, and what to pass instead."""
    async with small() as sim, agents(sim) as luma:
        with pytest.raises(InvalidRequestError, match=problem):
            await call(luma)

    assert sim.ledger.requests.total() == 0


async def test_a_source_is_a_completed_job(caplog: pytest.LogCaptureFixture) -> None:
    """One that failed raises its error, an unknown one is not found, and nothing is submitted."""
    async with small() as sim, agents(sim) as luma:
        sim.fail_next("generation_failed")
        failed = await luma.generate("a cat")
        with pytest.raises(GenerationFailedError):
            await luma.edit(failed, "winter")
        with pytest.raises(NotFoundError):
            await luma.reframe("job-404", "1:1", "a beach")
        with pytest.raises(GenerationFailedError):
            await luma.submit(EditRequest("winter"), source=failed.id)

    assert len(sim.ledger.jobs) == 1
    assert "Traceback" not in caplog.text


async def test_an_hdr_video_cannot_be_extended() -> None:
    """The server alone knows this. Its rejection is certain, and says why."""
    async with small() as sim, agents(sim) as luma:
        video = await luma.run("a sunrise", hdr=True)
        with pytest.raises(BadRequestError, match=r"HDR .* the job was not accepted"):
            await luma.extend(video, "it goes on")

    assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize(
    "request_",
    [
        EditRequest("x", media=MP4),
        ReframeRequest("9:16", media=MP4),
        ImageRequest("x"),
        EditImageRequest("x", media=PNG),
        LayersRequest("x", media=PNG),
    ],
    ids=repr,
)
async def test_a_gateway_does_not_offer_the_new_kinds(request_: Any) -> None:
    """The error names the dialect and the ones that do, and nothing is sent."""
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(UnsupportedError, match=r"the gateway dialect .*use the agents"):
            await luma.submit(request_)

    assert sim.ledger.requests.total() == 0


async def test_a_request_of_any_kind_is_one_call(tmp_path: Path) -> None:
    """`run()` takes the request with its source, and saves the first output."""
    async with small() as sim, agents(sim) as luma:
        video = await luma.run("a cat", download=tmp_path / "cat.mp4")
        await luma.run(EditRequest("winter"), source=video)
        await luma.run(ReframeRequest("1:1", "sea", media="https://host/a.mp4"))
        await luma.run(ExtendRequest("it bows"), source=video.id)
        await luma.run(ExtendRequest("it sits"), extends=video)
        task = await luma.submit(ImageRequest("a cat", format="png"))
        await luma.run(LayersRequest("cat, sea"), source=task, download=tmp_path / "layer.png")

        types = [job.type for job in sim.ledger.jobs]
        assert types[:3] == ["video", "video_edit", "video_reframe"]
        assert types[3:] == ["video", "video", "image", "layering"]
        assert size_of(tmp_path / "layer.png")


async def test_many_requests_of_any_kind() -> None:
    """Mappings name their kind and source as manifests do; a `Job` has both."""
    async with small() as sim, agents(sim) as luma:
        video, image = await asyncio.gather(
            luma.run("a cat"), luma.run(ImageRequest("a cat, in oil"))
        )
        requests: list[Any] = [
            {"kind": "edit", "source": video.id, "prompt": "winter"},
            {"kind": "edit", "source": "https://host/a.mov", "prompt": "winter"},
            {"kind": "reframe", "source": video, "aspect_ratio": "1:1", "prompt": "sea"},
            {"kind": "image", "prompt": "a dog"},
            {"kind": "edit_image", "source": PNG, "prompt": "a hat"},
            {"kind": "layers", "media": PNG, "prompt": "cat"},
            {"source": video, "prompt": "it bows", "backward": True},
            {"extends": video, "prompt": "it sits"},
            Job(LayersRequest("cat"), source=image),
            EditImageRequest("a hat", media=PNG),
        ]
        wrong: list[Any] = [
            {"kind": "paint", "prompt": "x"},
            {"kind": "edit", "prompt": "x"},
            {"kind": "edit", "source": MP4, "media": MP4, "prompt": "x"},
            {"kind": "edit", "extends": video, "prompt": "x"},
            {"kind": "image", "source": video, "prompt": "x"},
            {"extends": video, "source": video, "prompt": "x"},
            EditRequest("x"),
        ]
        outcomes = [outcome async for outcome in luma.run_many([*requests, *wrong], max_tasks=1)]

    assert [outcome.error for outcome in outcomes if outcome.ok] == [None] * len(requests)
    assert [str(outcome.error) for outcome in outcomes if not outcome.ok] == [
        f"kind: 'paint' is not a kind of request; allowed: {', '.join(REQUESTS)}",
        "source: is missing; pass a job, or media=...",
        "media: excludes a source; pass one of them",
        "extends: is for an extension only; the source of other kinds is source",
        "source: an ImageRequest has no source; an EditImageRequest has one",
        "extends: is for an extension only; the source of other kinds is source",
        "source: is missing; pass a job, or media=...",
    ]
    sent = [job.request for job in sim.ledger.jobs[2:]]
    assert [body["type"] for body in sent[:6]] == [
        *("video_edit", "video_edit", "video_reframe", "image", "image_edit", "layering"),
    ]
    assert sent[6]["video"] == {"end_frame": {"generation_id": video.id}}
    assert sent[7]["video"] == {"start_frame": {"generation_id": video.id}}
    assert sent[8]["source"] == {"generation_id": image.id}


async def test_a_slow_source_of_a_mapping_holds_nothing_up() -> None:
    """Its row waits beside the others, however many of them there are."""
    async with Simulator(durations=Fixed(HOUR), same_films=True, short_side=64) as sim:
        async with agents(sim, max_requests=1) as luma:
            slow = await luma.generate("a cat")
            rows: list[Any] = [{"kind": "edit", "source": slow, "prompt": "x"}, "a dog"]
            outcomes = luma.run_many(rows)
            first = asyncio.ensure_future(anext(outcomes))
            await until(lambda: len(sim.ledger.jobs) == 2)
            assert last(sim).prompt == "a dog"
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await outcomes.aclose()


async def test_the_options_are_those_of_generate(tmp_path: Path) -> None:
    """A job key, metadata, a callback and a second try, for each kind."""
    seen: list[VideoTask] = []
    async with small() as sim, agents(sim, journal=tmp_path / "jobs.db") as luma:
        for _ in range(2):
            image = await luma.generate_image("a cat", key="row-1", metadata={"user": 7})
            hat = await luma.edit_image(image, "a hat", key="row-2", on_update=seen.append)
            await hat
        assert (image.metadata, hat.key) == ({"user": 7}, "row-2")
        await until(lambda: hat in seen)  # the callback of a job that has ended runs soon
        assert len(sim.ledger.jobs) == 2

        sim.fail_next("generation_failed")
        for retry_failed in (False, True):
            task = luma.extract_layers(image, "cat", key="row-3", retry_failed=retry_failed)
            if retry_failed:
                await (await task)
            else:
                with pytest.raises(GenerationFailedError):
                    await (await task)
        assert len(sim.ledger.jobs) == 4


CALLS_THAT_SUBMIT: dict[str, Callable[..., Awaitable[Any]]] = {
    "generate": lambda luma, **options: luma.generate("a cat", **options),
    "extend": lambda luma, **options: luma.extend("job-1", "it bows", **options),
    "edit": lambda luma, **options: luma.edit(MP4, "winter", **options),
    "reframe": lambda luma, **options: luma.reframe(MP4, "9:16", "a beach", **options),
    "generate_image": lambda luma, **options: luma.generate_image("a cat", **options),
    "edit_image": lambda luma, **options: luma.edit_image(PNG, "a hat", **options),
    "extract_layers": lambda luma, **options: luma.extract_layers(PNG, "cat", **options),
    "submit": lambda luma, **options: luma.submit(GenerateRequest("a cat"), **options),
    "run": lambda luma, **options: luma.run("a cat", **options),
    "run with a download": lambda luma, **options: luma.run("a cat", download="a/", **options),
}


@pytest.mark.parametrize("call", CALLS_THAT_SUBMIT, ids=str)
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retry_failed": "yes", "key": "row-1"}, "retry_failed: must be True or False, got 'yes'"),
        ({"retry_failed": 1, "key": "row-1"}, "retry_failed: must be True or False, got 1"),
        ({"retry_failed": None}, "retry_failed: must be True or False, got None"),
        ({"retry_failed": True}, "retry_failed: needs key=.* each call submits a new job"),
        ({"retry_uncertain": "onec"}, "retry_uncertain: must be True, False or 'once', got 'onec'"),
        ({"retry_uncertain": 1}, "retry_uncertain: must be True, False or 'once', got 1"),
        ({"retry_uncertain": {"a"}}, "retry_uncertain: must be True, False or 'once', got {'a'}"),
        ({"retry_uncertain": None}, "retry_uncertain: must be True, False or 'once', got None"),
    ],
    ids=str,
)
async def test_an_option_of_retries_that_is_not_valid_costs_nothing(
    call: str,
    options: dict[str, Any],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the option and its values; to retry a failed job takes its job key."""
    monkeypatch.chdir(tmp_path)
    submit = CALLS_THAT_SUBMIT[call]
    async with small() as sim, agents(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(InvalidRequestError, match=problem):
            await submit(luma, **options)

    assert sim.ledger.requests.total() == 0


@pytest.mark.parametrize("option", ["retry_failed", "retry_uncertain"])
async def test_options_of_retries_are_checked_before_the_requests_of_a_run_are_read(
    option: str,
) -> None:
    """By the call itself. Requests without a job key may be among those that have one."""
    wrong: Any = {option: "yes"}
    async with small() as sim, agents(sim) as luma:
        with pytest.raises(InvalidRequestError, match=f"{option}: must be True"):
            luma.run_many(["a cat"], **wrong)
        right: Any = {option: True}
        [outcome] = [outcome async for outcome in luma.run_many(["a dog"], **right)]

    assert outcome.error is None
    assert [job.prompt for job in sim.ledger.jobs] == ["a dog"]
