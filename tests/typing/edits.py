"""A user's program of edits, images and layers. mypy and pyright check it strictly; never run."""

import asyncio
from pathlib import Path

from luma_async import (
    EditRequest,
    Generation,
    ImageRequest,
    Job,
    LayersRequest,
    LumaClient,
    SourcePosition,
    VideoTask,
)


def labels(generation: Generation) -> list[str]:
    return [asset.layer.label or "" for asset in generation.outputs if asset.layer is not None]


async def main() -> None:
    async with LumaClient(dialect="agents") as luma:
        cat = await luma.run("a cat", keyframes={0: Path("a.png"), 60: b"..."}, hdr=True)
        task: VideoTask = await luma.edit(cat, "in winter", strength="flex_1", key="winter")
        place = SourcePosition(x=0, y=0.25, width=1, height=0.5)
        tall = await luma.reframe(task, "9:16", "a wide beach", source_position=place)
        earlier = await luma.extend(cat, "it wakes up", backward=True)
        image = await (await luma.generate_image("a cat, in oil", references=[cat, "b.png"]))
        hat = await luma.edit_image("https://host/cat.png", "with a hat", web_search=False)
        layers = await (await luma.extract_layers(image, "cat, background", resolution="2k"))
        print(labels(layers), image.url, [job.id for job in (task, tall, earlier, hat)])

        edited = await luma.run(EditRequest("in spring"), source=task, download="spring.mp4")
        parts = await luma.run(LayersRequest("cat", media=Path("cat.png")))
        submitted = await luma.submit(ImageRequest("a dog", format="png"), metadata={"user": 7})
        print(edited.type, len(parts.outputs), submitted.metadata)
        requests = [Job(EditRequest(season), source=cat) for season in ("summer", "autumn")]
        async for outcome in luma.run_many(requests):
            print(outcome.generation.model if outcome.ok else outcome.error)


if __name__ == "__main__":
    asyncio.run(main())
