"""File types: detect the media type of a file by its content, and detect truncated videos.

Names and `Content-Type` headers are not reliable.
"""

from __future__ import annotations

import codecs
import struct
from typing import IO

HEAD_SIZE = 512
"""Number of bytes at the beginning of a file that are enough for `media_type`."""

_SIGNATURES = {
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
    b"\x76\x2f\x31\x01": "image/x-exr",
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
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")
_TS_PACKET_SIZE = 188
"""Size of a packet in an MPEG transport stream, in bytes. Every packet begins with the letter G."""

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
    "image/x-exr": ".exr",
}

_BOXES = frozenset(
    b"ftyp styp pdin moov moof mfra mdat imda free skip wide".split()
    + b"meta meco uuid sidx ssix prft emsg".split()
)
"""Box types that are allowed at the top level of an MP4 or QuickTime file."""


def media_type(head: bytes) -> str | None:
    """Return the media type of a video or image by its first bytes, `None` if it is neither.

    >>> media_type(bytes.fromhex("89504e470d0a1a0a"))
    'image/png'
    """
    for signature, type in _SIGNATURES.items():
        if head.startswith(signature):
            return type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":  # ISO/IEC 14496-12, 4.3
        brand = head[8:12]
        return _IMAGE_BRANDS.get(brand, "video/quicktime" if brand == b"qt  " else "video/mp4")
    if head[4:8] in _QUICKTIME_ATOMS:
        return "video/quicktime"
    if head[:1] == b"G" and head[_TS_PACKET_SIZE : _TS_PACKET_SIZE + 1] == b"G":
        return "video/mp2t"
    return None


def suffixes_of(beginnings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the suffixes of all known media types with these beginnings, such as `video/`."""
    return tuple(suffix for type, suffix in _SUFFIXES.items() if type.startswith(beginnings))


def suffix_of(type: str | None) -> str | None:
    """Return the suffix of a media type, such as `.mp4`, or `None` for an unknown type."""
    return _SUFFIXES.get(type or "")


def is_text(head: bytes) -> bool:
    """Return `True` if the first bytes of a file are readable text, such as an error page."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def is_truncated(file: IO[bytes]) -> bool:
    """Return `True` if an MP4 or QuickTime file lacks its end or its index.

    The end is found by the sizes of the boxes (ISO/IEC 14496-12, 4.2). The result is `False` for
    other files, and if the last box has no size.
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
        if length == 0:  # the box extends to the end of the file
            return False
        if length < 8:
            return False
        start += length
    if not kinds:
        return False
    file.seek(min(start, size))
    has_rest = any(file.read(8))  # zeros may be padding
    return start > size or has_rest or not kinds & {b"moov", b"moof"}
