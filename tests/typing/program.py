"""A user's program. mypy and pyright check it strictly, and a test runs it."""

import asyncio
from pathlib import Path

from luma_async import (
    CompletedOutcome,
    GenerateRequest,
    Generation,
    Job,
    LumaClient,
    LumaError,
    NoVideoError,
    Outcome,
    VideoTask,
)


def show(task: VideoTask) -> None:
    print(task.metadata.get("user", "nobody"), task.state, task.generation.progress)


async def answer(task: VideoTask) -> None:
    if task.done() and task.error is None:
        print("done:", task.generation.url)


def title(outcome: Outcome) -> str:
    return outcome.generation.id if outcome.ok else str(outcome.error)


async def main() -> None:
    async with LumaClient.from_env(journal="jobs.db", max_tasks=5) as luma:
        video = await luma.run("a cat dances", download="cat.mp4", key="cat", on_update=show)
        longer = await luma.run("it bows", extends=video, expand_prompt=False, timeout=60)
        print(video.url, longer.url, longer.video and longer.video.duration)

        task = await luma.generate("a dog", loop=True, metadata={"user": 42}, on_update=answer)
        print(task.key, [running.id for running in luma.tasks])
        async for generation in task.updates():
            try:
                print(generation.state, generation.url)
            except NoVideoError as error:
                print(error.task_id, error)

        videos: list[Generation] = []
        errors: list[LumaError] = []
        requests = [Job(GenerateRequest(f"cat {n}"), key=f"cat-{n}") for n in range(3)]
        async for outcome in luma.run_many(requests):
            print(title(outcome), outcome.key)
            if not outcome.ok:
                errors.append(outcome.error)
                continue
            videos.append(outcome.generation)
        async for outcome in luma.run_many(["a cow", {"prompt": "a hen", "loop": True}]):
            match outcome:
                case CompletedOutcome(generation=made):
                    videos.append(made)
                case _:
                    raise outcome.error

        saved: list[Path] = [await luma.download(video, "videos/", what="thumbnail")]
        async for file in luma.download_all(videos, "videos"):
            if file.ok:
                saved.append(file.path)
            else:
                print(file.id, file.error)
        print(len(saved), "files,", len(errors), "errors")


if __name__ == "__main__":
    asyncio.run(main())
