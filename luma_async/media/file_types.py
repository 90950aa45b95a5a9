"""Signatures: tell the type of a file by its first bytes rather than by its name."""

from __future__ import annotations

import struct
from typing import IO

HEAD = 512
"""Bytes that are enough to tell."""

_STARTS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"\x1aE\xdf\xa3": "video/webm",
    b"OggS": "video/ogg",
    b"FLV\x01": "video/x-flv",
    b"\0\0\x01\xba": "video/mpeg",
}
_RIFF = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_IMAGE_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
}
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip")
_PACKET = 188

_SUFFIXES = {
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/ogg": ".ogv",
    "video/x-flv": ".flv",
    "video/mpeg": ".mpg",
    "video/mp2t": ".ts",
    "video/x-msvideo": ".avi",
    "video/x-matroska": ".mkv",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/heif": ".heif",
}


def media_type(head: bytes) -> str | None:
    """Return the media type of the video or image that begins so, `None` if it is neither.

    >>> media_type(bytes.fromhex("89504e470d0a1a0a"))
    'image/png'
    """
    for start, found in _STARTS.items():
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":  # ISO/IEC 14496-12, 4.3
        brand = head[8:12]
        return _IMAGE_BRANDS.get(brand, "video/quicktime" if brand == b"qt  " else "video/mp4")
    if head[4:8] in _OLD_QUICKTIME:
        return "video/quicktime"
    if head[:1] == b"G" and head[_PACKET : _PACKET + 1] == b"G":
        return "video/mp2t"
    return None


def suffixes_of(family: str) -> tuple[str, ...]:
    """Return every suffix that `suffix_of` gives to the types of a family: `video` or `image`."""
    return tuple(suffix for type, suffix in _SUFFIXES.items() if type.startswith(f"{family}/"))


def suffix_of(type: str | None) -> str | None:
    """Return what the name of a file of such a type ends in, `None` for an unknown one."""
    return _SUFFIXES.get(type or "")


_BOXES = frozenset(
    b"ftyp styp pdin moov moof mfra mdat imda free skip wide".split()
    + b"meta meco uuid sidx ssix prft emsg".split()
)
"""Those that may stand at the top of a file."""


def is_cut_off(file: IO[bytes]) -> bool:
    """Whether an MP4 or QuickTime file lacks its end, by the sizes of its boxes.

    Boxes are told by ISO/IEC 14496-12, 4.2. What cannot be judged has not been cut off.
    """
    size = file.seek(0, 2)
    start, kinds = 0, set()
    while start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind not in _BOXES:
            return False
        kinds.add(kind)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0:  # it goes on to the end of the file
            return False
        if length < 8:
            return False
        start += length
    if not kinds:
        return False
    file.seek(min(start, size))
    begins_another = any(file.read(8))
    return start > size or begins_another or not kinds & {b"moov", b"moof"}
