"""Film of several scenes: a video, and an extension of it for each further scene.

    python examples/storyboard.py film "a cat dances" "it takes a bow" "it falls asleep"
    python examples/storyboard.py film < scenes.txt

The second form reads a scene from each line. Each scene becomes a file in the folder `film`. If
ffmpeg is installed, it joins them in `film.mp4`.

Run it again after a crash, with further scenes, or with a scene changed: only scenes that are new,
or follow one that is new, are paid for. On some gateways an extension contains the whole video from
its start. There, the last file is the film.
"""

import asyncio
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from luma_async import Generation, LumaClient, LumaError, VideoTask


def job_key(scenes: list[str]) -> str:
    """Return the job key of the last of some scenes. It depends on all, as the video does."""
    return f"{len(scenes):02}-" + sha256("\n".join(scenes).encode()).hexdigest()[:8]


def show(task: VideoTask) -> None:
    print(f"{task.key}: {task.state}", flush=True)


async def make(scenes: list[str], folder: Path) -> list[Path]:
    """Make the scenes one after the other, each from the end of the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    video: Generation | None = None
    async with LumaClient(journal=folder / "jobs.db") as luma:
        for number, scene in enumerate(scenes, start=1):
            key = job_key(scenes[:number])
            print(f"{key}: {scene}")
            files.append(folder / f"{key}.mp4")
            video = await luma.run(
                scene,
                extends=video,  # None for the first scene, which is a new video
                key=key,
                retry_failed=True,
                download=files[-1],
                on_update=show,
            )
    return files


async def join(files: list[Path], target: Path) -> None:
    """Join videos. The first frame of each is dropped, as it repeats the last one before."""
    inputs = [word for file in files for word in ("-i", str(file))]
    steps = [
        f"[{number}:v]trim=start_frame={min(number, 1)},setpts=PTS-STARTPTS[part{number}]"
        for number in range(len(files))
    ]
    steps.append("".join(f"[part{n}]" for n in range(len(files))) + f"concat=n={len(files)}[all]")
    options = ["-filter_complex", ";".join(steps), "-map", "[all]", "-pix_fmt", "yuv420p"]
    ffmpeg = await asyncio.create_subprocess_exec(
        "ffmpeg", "-loglevel", "error", "-y", *inputs, *options, str(target)
    )
    try:
        if await ffmpeg.wait() != 0:
            sys.exit("ffmpeg failed to join the videos")
    finally:
        if ffmpeg.returncode is None:  # cancelled
            ffmpeg.kill()


async def main(folder: Path, scenes: list[str]) -> None:
    files = await make(scenes, folder)
    print(*files, sep="\n")
    if files and shutil.which("ffmpeg"):
        await join(files, folder / "film.mp4")
        print(folder / "film.mp4")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    lines = sys.argv[2:] or [line.strip() for line in sys.stdin if line.strip()]
    try:
        asyncio.run(main(Path(sys.argv[1]), lines))
    except LumaError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. Run it again to go on: the job that is running is not paid for twice.")
