"""Images to send in tests."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image as PillowImage


def an_image(form: str = "PNG", size: tuple[int, int] = (60, 40), **options: Any) -> bytes:
    """Return an image in which no two rows and no two columns are alike."""
    image = PillowImage.new("RGB", size)
    pixels = [
        (x * 255 // size[0], y * 255 // size[1], (x * y) % 256)
        for y in range(size[1])
        for x in range(size[0])
    ]
    image.putdata(pixels)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def as_data_uri(data: bytes, media_type: str = "image/png") -> str:
    """Return a data URI as a browser makes it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def arrived(uri: str) -> tuple[str, bytes]:
    """Return the media type and the bytes of a data URI, read as the standard says (RFC 2397)."""
    head, _, data = uri.partition(",")
    scheme, _, rest = head.partition(":")
    media_type, _, encoding = rest.partition(";")
    assert (scheme, encoding) == ("data", "base64")
    return media_type, base64.b64decode(data, validate=True)
