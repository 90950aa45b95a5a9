"""Range requests: resume a file if the server still has the same version (RFC 9110, 14).

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError

_NUMBER = "[0-9]{1,18}"
_CONTENT_RANGE = re.compile(rf"bytes (?:({_NUMBER})-{_NUMBER}|\*)/({_NUMBER}|\*)", re.IGNORECASE)

_LONG_ETAG = 12
"""Maximum length of an `ETag` that may be a counter. A longer one is a digest, or made of date and
size, and identifies the file on any host."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """Version of a file, identified by the headers of a response.

    `place` is the host and path of the link, without its signature, and `length` is in bytes.
    `watermark_free` is that of the link: videos with and without a watermark are never mixed. A
    date or a short `ETag` identifies a version only at the same place. A long `ETag` does so at
    any place, because a new link to the file may lead to another host.
    """

    place: str
    watermark_free: bool | None = None
    length: Annotated[int, Field(ge=0)] | None = None
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(
        cls,
        place: str,
        headers: Mapping[str, str],
        *,
        length: int | None,
        watermark_free: bool | None = None,
    ) -> Self:
        """Return the version in the headers of a response.

        Weak `ETag`s are ignored: they may stay the same when bytes change (RFC 9110, 8.8.1).
        """
        etag = headers.get("ETag", "")
        is_strong = len(etag) > 2 and etag.startswith('"') and etag.endswith('"')
        modified = headers.get("Last-Modified", "")
        return cls(
            place,
            watermark_free,
            length=length,
            etag=etag if is_strong and _is_header_value(etag) else None,
            last_modified=modified if modified and _is_header_value(modified) else None,
        )

    @classmethod
    def from_document(cls, document: Any) -> Self | None:
        """Return the version in a document made by `to_document`, `None` if it is invalid."""
        try:
            version = TypeAdapter(cls).validate_python(document)
        except ValidationError:
            return None
        text = (version.etag or "") + (version.last_modified or "")
        return version if _is_header_value(text) else None

    def to_document(self) -> dict[str, Any]:
        """Return the version as a JSON document."""
        return asdict(self)

    def validator(self, place: str, *, watermark_free: bool | None = None) -> str | None:
        """Return the `If-Range` value for a place, `None` if there is none (RFC 9110, 13.1.5)."""
        if watermark_free is not self.watermark_free:
            return None
        if place == self.place:
            return self.etag or self.last_modified
        return self.etag if self.etag and len(self.etag) > _LONG_ETAG else None


class RangeResult(Enum):
    """Meaning of a response for the bytes that were received before."""

    WHOLE = "the response has the whole file"
    REST = "the response has the missing bytes"
    COMPLETE = "no bytes are missing"
    UNUSABLE = "request the whole file instead"
    CONTRADICTION = "the server reported another length before"


def range_headers(
    version: FileVersion | None, have: int, place: str, *, watermark_free: bool | None = None
) -> dict[str, str]:
    """Return the headers that request the missing bytes, none if the version is not identified."""
    validator = None
    if version is not None and have:
        validator = version.validator(place, watermark_free=watermark_free)
    return {"Range": f"bytes={have}-", "If-Range": validator} if validator else {}


def read_range_response(
    status: int, headers: Mapping[str, str], version: FileVersion | None, have: int
) -> tuple[RangeResult, int | None]:
    """Return the meaning of a response with status 200, 206 or 416, and the length of the file."""
    if status == 200:
        return RangeResult.WHOLE, _length(headers)
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    first, total = found.groups() if found else (None, None)
    length = int(total) if total and total != "*" else None
    known = version.length if version else None
    if status == 206 and length is None and known is None:  # the end of the file is unknown
        return RangeResult.UNUSABLE, None
    if status == 206 and not have and first is not None and int(first) == 0:
        return RangeResult.WHOLE, length  # although the whole file was requested
    if status == 416 and length == have:
        is_same = known in (None, have)
        return (RangeResult.COMPLETE if is_same else RangeResult.CONTRADICTION), length
    continues = status == 206 and first is not None and int(first) == have
    is_same = known is None or length in (None, known)
    if version is not None:
        for name, before in (("ETag", version.etag), ("Last-Modified", version.last_modified)):
            is_same = is_same and headers.get(name, before) == (before or headers.get(name))
    if continues and is_same:
        return RangeResult.REST, length or known
    return RangeResult.UNUSABLE, None


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()


def place_of(url: str) -> str:
    """Return the host and path of a link. Its query is left out because it may be a signature."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if re.fullmatch(_NUMBER, text) else None
