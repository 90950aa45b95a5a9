"""OpenEXR files: one uncompressed image of half floats in linear light."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image

_CHANNELS = "BGR"
"""Channels in the order of the file format: alphabetical."""

_HALF = 1
"""Pixel type of a channel: 16-bit float."""


def save_exr(image: Image.Image, path: Path) -> None:
    """Write an image as scan lines without compression (openexr.com, "OpenEXR File Layout")."""
    width, height = image.size
    header = _header(width, height)
    line_size = width * len(_CHANNELS) * 2
    first = len(header) + 8 * height
    block = 8 + line_size
    offsets = struct.pack(f"<{height}Q", *(first + block * line for line in range(height)))
    halves = [struct.pack("<e", _linear(value / 255)) for value in range(256)]
    planes = [image.convert("RGB").getchannel(name).tobytes() for name in _CHANNELS]
    with path.open("wb") as file:
        file.write(header + offsets)
        for line in range(height):
            file.write(struct.pack("<ii", line, line_size))
            for plane in planes:
                row = plane[line * width : (line + 1) * width]
                file.write(b"".join([halves[value] for value in row]))


def _header(width: int, height: int) -> bytes:
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<iBxxxii", _HALF, 0, 1, 1) for name in _CHANNELS
    )
    attributes = [
        ("channels", "chlist", channels + b"\0"),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    ]
    parts = [struct.pack("<ii", 0x01312F76, 2)]
    for name, kind, value in attributes:
        parts.append(f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value)
    return b"".join(parts) + b"\0"


def _linear(value: float) -> float:
    """Return the linear light of a value in sRGB (IEC 61966-2-1)."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
