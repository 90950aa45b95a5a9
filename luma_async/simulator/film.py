"""Films: videos and images that show the prompt, and videos that continue others."""

from __future__ import annotations

import colorsys
import math
import random
import struct
import textwrap
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from luma_async.simulator.simulated_jobs import SimulatedJob

FRAMES_PER_SECOND = 24
_FADE_FRAMES = 12
"""Number of frames in which the caption of an extension fades in."""

_CACHED_PIXELS = 200 * 200
"""Maximum number of pixels in a frame of cached films. Tests render the same small films often."""

_CACHED_FILMS = 64
"""Maximum number of cached films."""

_cache: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()


def save_video(job: SimulatedJob, path: Path, *, watermark: bool, least_bytes: int = 0) -> None:
    """Render the video of a job into a file of at least `least_bytes`."""
    key = (*_cache_key(job), watermark)
    if (film := _cache.get(key)) is not None:
        path.write_bytes(film)
    else:
        _render(job, path, watermark=watermark)
        if job.width * job.height <= _CACHED_PIXELS:
            _cache[key] = path.read_bytes()
            while len(_cache) > _CACHED_FILMS:
                _cache.popitem(last=False)
    missing = least_bytes - path.stat().st_size
    if missing > 0:
        with path.open("ab") as file:
            _pad(file, max(missing, 8), random.Random(job.id))


def _cache_key(job: SimulatedJob) -> tuple[Any, ...]:
    """Return a cache key that is equal for films with the same content."""
    others = (_cache_key(each) if each is not None else () for each in (job.parent, job.follower))
    size = (job.width, job.height, job.frames)
    return job.id, job.type, job.prompt, *size, job.changes_parent, *others


def _render(job: SimulatedJob, path: Path, *, watermark: bool) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = job.width, job.height
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "26"}
        sound = _Sound(container, job.frames / FRAMES_PER_SECOND) if _has_sound(job) else None
        scene = _Scene(job, watermark=watermark)
        for number in range(job.frames):
            container.mux(stream.encode(_frame(scene.draw(number))))
        container.mux(stream.encode(None))
        if sound is not None:
            sound.write()


def _has_sound(job: SimulatedJob) -> bool:
    """Return `True` if the video of a job has a sound track, its own or that of its parent."""
    if job.type == "add_audio":
        return True
    return job.changes_parent and job.parent is not None and _has_sound(job.parent)


class _Sound:
    """Sound track with a soft tone that swells every second."""

    _RATE = 16_000
    _SAMPLES = 1024  # in a frame, as AAC has it

    def __init__(self, container: Any, seconds: float) -> None:
        self._container = container
        self._count = math.ceil(seconds * self._RATE / self._SAMPLES)
        self._stream = container.add_stream("aac", rate=self._RATE)
        self._stream.layout = "mono"

    def write(self) -> None:
        """Encode the track."""
        for number in range(self._count):
            frame = av.AudioFrame(format="fltp", layout="mono", samples=self._SAMPLES)
            frame.sample_rate = self._RATE
            frame.pts = number * self._SAMPLES
            frame.planes[0].update(array("f", self._tone(frame.pts)).tobytes())
            self._container.mux(self._stream.encode(frame))
        self._container.mux(self._stream.encode(None))

    def _tone(self, start: int) -> Iterator[float]:
        for sample in range(start, start + self._SAMPLES):
            moment = sample / self._RATE
            swell = 0.1 * math.sin(math.pi * moment) ** 2
            yield swell * math.sin(2 * math.pi * 220 * moment)


def _pad(file: BinaryIO, size: int, chance: random.Random) -> None:
    """Append a box of random bytes that players skip (ISO/IEC 14496-12, 8.1.2)."""
    file.write(struct.pack(">I4s", size, b"free"))
    left = size - 8
    while left:
        piece = min(left, 2**20)
        file.write(chance.randbytes(piece))
        left -= piece


def save_layer(job: SimulatedJob, path: Path, number: int) -> None:
    """Render a layer of the first frame as a PNG with transparency."""
    _Scene(job).layer(number).save(path, "PNG", compress_level=1)


def frame(job: SimulatedJob, *, last: bool) -> Image.Image:
    """Return the first or the last frame of a job."""
    return _Scene(job).draw(job.frames - 1 if last else 0)


def save_frame(job: SimulatedJob, path: Path, *, last: bool) -> None:
    """Render the first or the last frame of a job as a JPEG or PNG."""
    image = frame(job, last=last)
    if path.suffix == ".png":
        image.save(path, "PNG", compress_level=1)
    else:
        image.save(path, "JPEG", quality=88)


def _frame(image: Image.Image) -> av.VideoFrame:
    return av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call, no-any-return]


class _Scene:
    """Scene of coloured discs that drift over a gradient, above a caption with the prompt.

    An extension has its parent's discs and colours and continues at the parent's time. So its first
    frame is the parent's last one, and its own caption fades in over it. A video before another
    one ends with the first frame of that one in the same way. An edit shows its parent's scene
    from the start, with its own caption.
    """

    def __init__(self, job: SimulatedJob, *, watermark: bool = False) -> None:
        self._size = (job.width, job.height)
        self._first = _first_frame(job)
        self._last_number = job.frames - 1
        root = job
        while (other := root.parent or root.follower) is not None:
            root = other
        chance = random.Random(root.id)
        self._backdrop = _backdrop(self._size, chance.random())
        self._discs = [_Disc(self._size, chance) for _ in range(5)]
        # The prompt for layers says how to part an image that shows another prompt.
        shown = job.parent if job.type == "layering" and job.parent is not None else job
        self._caption = _caption(shown.prompt, self._size, watermark=watermark)
        self._start = self._end = None
        if job.parent is not None and not job.changes_parent:
            self._start = self._fitted(_Scene(job.parent, watermark=watermark).last())
        if job.follower is not None:
            self._end = self._fitted(_Scene(job.follower, watermark=watermark).draw(0))

    def last(self) -> Image.Image:
        """Return the last frame."""
        return self.draw(self._last_number)

    def draw(self, number: int) -> Image.Image:
        """Return the frame with a number in this video."""
        left = self._last_number - number
        if number == 0 and self._start is not None:
            return self._start
        image = self._background(number)
        for disc in self._discs:
            disc.paste(image, self._moment(number))
        image.paste(self._caption, self._caption_place(), self._caption)
        if self._start is not None and number < _FADE_FRAMES:
            image = Image.blend(self._start, image, number / _FADE_FRAMES)
        if self._end is not None and left < _FADE_FRAMES:
            image = Image.blend(self._end, image, left / _FADE_FRAMES)
        return image

    def layer(self, number: int) -> Image.Image:
        """Return a layer of the first frame: caption, discs or background."""
        layer = Image.new("RGBA", self._size)
        if number == 0:
            layer.paste(self._caption, self._caption_place())
        elif number == 1:
            for disc in self._discs:
                disc.paste_over(layer, self._moment(0))
        else:
            layer = self._background(0).convert("RGBA")
        return layer

    def _background(self, number: int) -> Image.Image:
        width, height = self._size
        moment = self._moment(number)
        shift = round((math.sin(moment * 0.25) + 1) / 2 * self._backdrop.width / 3)
        return self._backdrop.crop((shift, 0, shift + width, height))

    def _moment(self, number: int) -> float:
        return (self._first + number) / FRAMES_PER_SECOND

    def _caption_place(self) -> tuple[int, int]:
        return 0, self._size[1] - self._caption.height

    def _fitted(self, image: Image.Image) -> Image.Image:
        return image if image.size == self._size else image.resize(self._size)


def _first_frame(job: SimulatedJob) -> int:
    """Return the number of a video's first frame, counted from the start of the scene."""
    if job.parent is not None:
        continued = 0 if job.changes_parent else job.parent.frames - 1
        return _first_frame(job.parent) + continued
    return 0 if job.follower is None else _first_frame(job.follower) - job.frames + 1


class _Disc:
    """Soft-edged disc on a smooth path."""

    def __init__(self, size: tuple[int, int], chance: random.Random) -> None:
        self._width, self._height = size
        radius = round(min(size) * chance.uniform(0.08, 0.2))
        self._mask = Image.new("L", (radius * 2, radius * 2), 0)
        ImageDraw.Draw(self._mask).ellipse((2, 2, radius * 2 - 3, radius * 2 - 3), fill=215)
        self._mask = self._mask.filter(ImageFilter.GaussianBlur(max(radius / 30, 1)))
        self._colour = _colour(chance.random(), 0.55, 0.98)
        self._speed = [chance.uniform(0.35, 0.9) for _ in range(2)]
        self._phase = [chance.uniform(0, 2 * math.pi) for _ in range(2)]
        self._radius = radius

    def paste(self, image: Image.Image, moment: float) -> None:
        """Draw the disc at its position at a time in seconds."""
        image.paste(self._colour, self._place(moment), self._mask)

    def paste_over(self, layer: Image.Image, moment: float) -> None:
        """Draw the disc on a layer, and keep the layer transparent around it."""
        disc = Image.new("RGBA", self._mask.size, self._colour)
        disc.putalpha(self._mask)
        whole = Image.new("RGBA", layer.size)
        whole.paste(disc, self._place(moment))
        layer.alpha_composite(whole)

    def _place(self, moment: float) -> tuple[int, int]:
        across = (math.sin(moment * self._speed[0] + self._phase[0]) + 1) / 2
        down = (math.cos(moment * self._speed[1] + self._phase[1]) + 1) / 2
        return (
            round(across * self._width) - self._radius,
            round(down * self._height * 0.8) - self._radius,
        )


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _backdrop(size: tuple[int, int], hue: float) -> Image.Image:
    width, height = size
    small = Image.new("RGB", (4, 3))
    for x in range(4):
        for y in range(3):
            small.putpixel((x, y), _colour(hue + x * 0.06, 0.6, 0.55 - y * 0.16))
    return small.resize((width * 3 // 2, height), Image.Resampling.BICUBIC)


def _caption(prompt: str, size: tuple[int, int], *, watermark: bool) -> Image.Image:
    width, height = size
    font_size = max(height // 24, 11)
    font = ImageFont.load_default(size=font_size)
    lines = textwrap.wrap(" ".join(prompt.split()), max(int(width / font_size * 1.8), 8))
    lines = [*lines[:4], "..."] if len(lines) > 5 else lines
    line_height = round(font_size * 1.3)
    band = Image.new("RGBA", (width, line_height * len(lines) + font_size), (0, 0, 0, 120))
    draw = ImageDraw.Draw(band)
    for index, line in enumerate(lines):
        where = (font_size, font_size // 2 + index * line_height)
        draw.text(where, line, font=font, fill=(255, 255, 255, 255))
    if watermark:
        draw.text((width - 5 * font_size, font_size // 2), "LUMA", font=font, fill=(255, 255, 255))
    return band
