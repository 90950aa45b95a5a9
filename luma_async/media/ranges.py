"""Resumption: go on with a file that is partly here, if it is the same version. Pure: no I/O."""

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
"""Characters of one that hardly two files have: it was made of the content, or of date and size."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file, as a server tells it from others.

    `length` is in bytes. `place` is where it was found, without what the link is signed with, and
    `watermark_free` what kind of video was looked for there. A date, or an `ETag` that may well be
    counted up, tells versions at one place apart; a long `ETag` is good wherever a link leads now.
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
        """Return the version that an answer carries. A weak `ETag` tells too little."""
        etag = headers.get("ETag", "")
        is_strong = len(etag) > 2 and etag.startswith('"') and etag.endswith('"')
        modified = headers.get("Last-Modified", "")
        return cls(
            place,
            watermark_free,
            length=length,
            etag=etag if is_strong and _can_be_sent(etag) else None,
            last_modified=modified if modified and _can_be_sent(modified) else None,
        )

    @classmethod
    def read(cls, document: Any) -> Self | None:
        """Return what was written down, `None` if it is not that."""
        try:
            version = TypeAdapter(cls).validate_python(document)
        except ValidationError:
            return None
        said = (version.etag or "") + (version.last_modified or "")
        return version if _can_be_sent(said) else None

    def written(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return asdict(self)

    def validator(self, place: str, *, watermark_free: bool | None = None) -> str | None:
        """Return what `If-Range` may say at a place (RFC 9110, 13.1.5)."""
        if watermark_free is not self.watermark_free:
            return None
        if place == self.place:
            return self.etag or self.last_modified
        return self.etag if self.etag and len(self.etag) > _LONG_ETAG else None


class Answer(Enum):
    """What an answer with a file, or about one, means for the part that is here."""

    WHOLE = "all of the file follows"
    REST = "what is missing follows"
    COMPLETE = "nothing is missing"
    NO_RANGE = "ask again, for all of it"
    CONTRADICTION = "the server said before that the file has another length"


def range_headers(
    version: Version | None, have: int, place: str, *, watermark_free: bool | None = None
) -> dict[str, str]:
    """Return the headers that ask for what is missing; none where that cannot be told safely."""
    validator = None
    if version is not None and have:
        validator = version.validator(place, watermark_free=watermark_free)
    return {"Range": f"bytes={have}-", "If-Range": validator} if validator else {}


def read_answer(
    status: int, headers: Mapping[str, str], version: Version | None, have: int
) -> tuple[Answer, int | None]:
    """Return what an answer of 200, 206 or 416 means, and the length of all of the file."""
    if status == 200:
        return Answer.WHOLE, _length(headers)
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    first, total = found.groups() if found else (None, None)
    length = int(total) if total and total != "*" else None
    known = version.length if version else None
    if status == 206 and length is None and known is None:  # nobody says where it ends
        return Answer.NO_RANGE, None
    if status == 206 and not have and first is not None and int(first) == 0:
        return Answer.WHOLE, length  # though all of it was asked for
    if status == 416 and length == have:
        return (Answer.COMPLETE if known in (None, have) else Answer.CONTRADICTION), length
    goes_on = status == 206 and first is not None and int(first) == have
    is_same = known is None or length in (None, known)
    if version is not None:
        for name, before in (("ETag", version.etag), ("Last-Modified", version.last_modified)):
            is_same = is_same and headers.get(name, before) == (before or headers.get(name))
    return (Answer.REST, length or known) if goes_on and is_same else (Answer.NO_RANGE, None)


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable()


def place_of(url: str) -> str:
    """Return host and path of a link: what it is signed with is nobody's business."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"


def _length(headers: Mapping[str, str]) -> int | None:
    said = headers.get("Content-Length", "")
    return int(said) if re.fullmatch(_NUMBER, said) else None
