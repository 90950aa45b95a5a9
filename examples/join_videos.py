"""Story in several prompts: a video and its extensions, joined in one file.

    python examples/join_videos.py cat.mp4 "a cat dances" "it takes a bow" "it falls asleep"

Run it again after a crash: paid jobs are in the journal, and downloaded files in the folder
`parts`. ffmpeg must be installed, as it joins the files. On some gateways an extension contains the
whole video from its start. There, use the last extension instead.
"""

import asyncio
import sys
from pathlib import Path

from luma_async import LumaClient, LumaError


async def main(target: Path, prompts: list[str]) -> None:
    async with LumaClient(journal=target.with_suffix(".db")) as luma:
        chain = [await luma.generate(prompts[0], key=prompts[0])]
        for number, prompt in enumerate(prompts[1:], start=2):
            so_far = " / ".join(prompts[:number])
            chain.append(await luma.extend(chain[-1], prompt, key=so_far))
            print(f"{number} of {len(prompts)}: {prompt}")
        parts = {}
        async for file in luma.download_all(chain, "parts"):
            if file.error is not None:
                raise file.error
            parts[file.id] = file.path
    await join([parts[task.id] for task in chain], target)
    print("saved as", target)


async def join(parts: list[Path | None], target: Path) -> None:
    """Join videos. The first frame of each is dropped, as it repeats the last one before."""
    inputs = [word for part in parts for word in ("-i", str(part))]
    steps = [
        f"[{number}:v]trim=start_frame={min(number, 1)},setpts=PTS-STARTPTS[part{number}]"
        for number in range(len(parts))
    ]
    steps.append("".join(f"[part{n}]" for n in range(len(parts))) + f"concat=n={len(parts)}[all]")
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


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
    except LumaError as error:
        sys.exit(str(error))
