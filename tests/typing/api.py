"""The public API as type checkers see it. Checked by mypy and pyright, never run."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import assert_type

from luma_async import (
    AdaptiveSchedule,
    Asset,
    Download,
    EditImageRequest,
    EditRequest,
    Entry,
    ExtendRequest,
    FileReference,
    FixedSchedule,
    GenerateRequest,
    Generation,
    GenerationReference,
    Image,
    ImageRequest,
    Job,
    Journal,
    LayersRequest,
    LumaClient,
    LumaError,
    Outcome,
    PollSchedule,
    ReframeRequest,
    SourcePosition,
    SQLJournal,
    State,
    Updates,
    VideoTask,
    image_from,
)
from luma_async.batch import Batch, Result, ResultState, read_manifest
from luma_async.tasks.arguments import PassAList

schedule: PollSchedule = FixedSchedule(2.0)
schedule = AdaptiveSchedule(look_cost=0.5)
luma = LumaClient("key", base_url="https://host", schedule=schedule, max_tasks=3)


async def check() -> None:
    task = await luma.generate("a cat", aspect_ratio="16:9", loop=True, extra={"seed": 7})
    assert_type(task, VideoTask)
    assert_type(task.state, State)
    assert_type(await task, Generation)
    assert_type(await task.wait(timeout=5), Generation)
    assert_type(task.error, LumaError | None)
    assert_type(task.updates(every=2), Updates)
    async for generation in task.updates():
        assert_type(generation.video, Asset | None)
        assert_type(generation.progress, float | None)

    await luma.generate(GenerateRequest("a cat"), retry_uncertain=True)
    await luma.extend(task, ExtendRequest("on"))
    await luma.extend(await task, "on", image="https://host/a.png")
    await luma.extend("job-1", "on")

    assert_type(await luma.run("a cat", loop=True, download=Path("cat.mp4")), Generation)
    assert_type(await luma.run("on", extends=task, timeout=5, key="row-1"), Generation)
    assert_type(luma.tasks, tuple[VideoTask, ...])
    assert_type(await luma.open(), LumaClient)
    assert_type(LumaClient.from_env(max_tasks=3), LumaClient)
    LumaClient.from_env(max_task=3)  # type: ignore[call-arg]
    await luma.run("on", extends=task, loop=True)  # type: ignore[call-overload]

    await luma.generate("a cat", aspect_ratio="7:7")  # type: ignore[arg-type]
    await luma.generate("a cat", colour="red")  # type: ignore[call-arg]
    await luma.extend(task, "on", loop=True)  # type: ignore[call-arg]

    await luma.generate("a cat", key="row-1", retry_failed=True)
    await luma.extend(task, "on", key="row-2", retry_failed=True)
    assert_type(task.key, str | None)
    assert_type(await luma.resume(), list[VideoTask])
    assert_type(luma.journal, Journal | None)
    journal: Journal = SQLJournal("jobs.db", lock_timeout=1)
    LumaClient(journal=journal)
    LumaClient(journal=Path("jobs.db"))
    assert_type(await journal.uncertain(), list[Entry])
    async for line in journal.export():
        assert_type(line, str)

    assert_type(await luma.get("job-1"), Generation)
    assert_type(await luma.get_many(["job-1"]), dict[str, Generation])
    assert_type(await luma.watch("job-1"), VideoTask)
    assert_type(await luma.watermark_free_url("job-1"), str)
    assert_type(await luma.download(task, "a.mp4", what="thumbnail"), Path)

    async for outcome in luma.run_many(["a cat", "a dog"], max_tasks=5):
        assert_type(outcome, Outcome)
        assert_type(outcome.key, str | None)
    luma.run_many([GenerateRequest("a cat"), GenerateRequest("a dog")])
    luma.run_many({"row-1": "a cat"}.items(), retry_failed=True)
    luma.run_many({"prompt": f"cat {n}"} for n in range(3))


async def check_kinds(task: VideoTask, video: Generation) -> None:
    assert_type(await luma.edit(video, "winter", strength="flex_1", hdr=True), VideoTask)
    assert_type(await luma.reframe(task, "9:16", "a beach", key="row-5"), VideoTask)
    assert_type(await luma.generate_image("a cat", references=[video, b""]), VideoTask)
    assert_type(await luma.edit_image(Path("a.png"), "a hat", style="manga"), VideoTask)
    assert_type(await luma.extract_layers("https://host/a.png", "cat"), VideoTask)
    assert_type(await luma.extract_layers("job-1"), VideoTask)
    await luma.edit("https://host/a.mp4", EditRequest("winter"), keyframes={0: "a.png"})
    await luma.edit(FileReference("file-1"), "winter", image=GenerationReference("job-1"))
    await luma.reframe(video, ReframeRequest("1:1"), resolution="720p")
    place = SourcePosition(x=0, y=0, width=1, height=1)
    await luma.reframe(video, "1:1", source_position=place, on_update=print)
    await luma.extend(video, "it wakes", backward=True)
    await luma.generate("a cat", keyframes={0: b"", 60: Path("b.png")}, exr=True, user_id="u")
    assert_type(await luma.submit(ImageRequest("a cat"), key="row-6"), VideoTask)
    assert_type(await luma.submit(EditRequest("winter"), source=task), VideoTask)
    assert_type(await luma.run(LayersRequest("cat"), source=video, download="a.png"), Generation)
    assert_type(await luma.run(EditImageRequest("hat", media=b"")), Generation)
    assert_type((await task).outputs, tuple[Asset, ...])
    luma.run_many([{"kind": "edit", "source": task, "prompt": "winter"}])
    luma.run_many([Job(EditRequest("winter"), source=task), ImageRequest("a cat")])

    await luma.edit(video)  # type: ignore[call-arg]
    await luma.edit(video, "winter", strength="much")  # type: ignore[arg-type]
    await luma.edit(video, GenerateRequest("x"))  # type: ignore[arg-type]
    await luma.edit(7, "winter")  # type: ignore[arg-type]
    await luma.reframe(video, "7:7")  # type: ignore[arg-type]
    await luma.generate_image("a cat", loop=True)  # type: ignore[call-arg]
    await luma.generate("a cat", keyframes=["a.png"])  # type: ignore[arg-type]
    await luma.generate("a cat", backward=True)  # type: ignore[call-arg]
    await luma.submit("a cat")  # type: ignore[arg-type]
    await luma.run("a cat", source=video)  # type: ignore[call-overload]
    await luma.run(EditRequest("x"), source=video, strength="flex_1")  # type: ignore[call-overload]


async def check_files(task: VideoTask) -> None:
    await luma.generate("a cat", image=Path("a.png"), image_end=b"")
    await luma.generate("a cat", image=io.BytesIO(), image_end="a.png")
    await luma.generate(GenerateRequest("a cat", image=Path("a.png")))
    assert_type(await image_from("a.png", max_side=2048), Image | str)
    await luma.generate("a cat", image=await image_from("a.png"))
    await luma.generate("a cat", image=7)  # type: ignore[arg-type]

    assert_type(await luma.download(task, "videos/", overwrite=True), Path)
    await luma.download("job-1", Path("a.jpg"), what="last_frame", progress=print)
    await luma.download(task, "a.gif", what="gif")  # type: ignore[arg-type]
    async for file in luma.download_all(luma.run_many(["a cat"]), "videos"):
        assert_type(file, Download)
    luma.download_all([task, "job-1", await task], Path("videos"), what="thumbnail")

    batch = Batch(luma, read_manifest("prompts.csv"), Path("videos"), limit_jobs=3)
    async for result in batch.run():
        assert_type(result, Result)
        assert_type(result.file, str | None)
        assert_type(result.state, ResultState)
    assert_type(batch.progress.seconds_left(20), float | None)
    luma.run_many([{"prompt": "it bows", "extends": task, "key": "row-3"}])
    luma.run_many([Job(GenerateRequest("a cat"), key="row-4"), "a dog"])
    luma.run_many(Job(ExtendRequest("it bows"), source=task) for _ in range(3))


async def check_one_in_place_of_many(task: VideoTask, prompts: list[str]) -> None:
    assert_type(luma.run_many("a cat"), PassAList)
    assert_type(luma.run_many(b"a cat"), PassAList)
    assert_type(luma.run_many({"prompt": "a cat"}), PassAList)
    assert_type(luma.run_many(GenerateRequest("a cat"), max_tasks=3), PassAList)
    assert_type(luma.run_many(("row-1", "a cat")), PassAList)
    assert_type(luma.run_many(Job(GenerateRequest("a cat"))), PassAList)
    assert_type(luma.download_all("job-1", "videos"), PassAList)
    assert_type(luma.download_all(task, "videos", what="raw"), PassAList)
    assert_type(await luma.get_many("job-1"), PassAList)

    async for _ in luma.run_many("a cat"):  # type: ignore[attr-defined]
        pass
    async for _ in luma.run_many({"prompt": "a cat", "loop": True}):  # type: ignore[attr-defined]
        pass
    async for _ in luma.run_many(("row-1", "a cat")):  # type: ignore[attr-defined]
        pass
    async for _ in luma.download_all("job-1", "videos"):  # type: ignore[attr-defined]
        pass
    (await luma.get_many("job-1"))["job-1"]  # type: ignore[index]

    outcomes = luma.run_many(prompts)
    assert_type(outcomes, AsyncGenerator[Outcome, None])
    assert_type(luma.run_many(prompt for prompt in prompts), AsyncGenerator[Outcome, None])
    assert_type(luma.run_many([("row-1", "a cat")]), AsyncGenerator[Outcome, None])
    assert_type(luma.run_many(("a cat", "a dog", "a cow")), AsyncGenerator[Outcome, None])
    assert_type(luma.download_all(outcomes, "videos"), AsyncGenerator[Download, None])
