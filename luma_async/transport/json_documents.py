"""JSON documents: a lenient parser, for other encodings, byte order marks and small syntax errors.

An answer may be the only trace of a job that is paid for, so it is parsed if at all possible. Pure.
"""

from __future__ import annotations

import codecs
import json
import re
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks and their encodings. UTF-32 comes first, because its little-endian mark begins
like that of UTF-16."""

_MAY_NOT_BE_UTF_8 = re.compile(rb"[\xef\xff\xfe]|.{0,3}\0", re.DOTALL).match
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_BLANKS = " \t\r\n\0;,"


def read_documents(body: bytes) -> list[Any]:
    """Return the JSON documents in a body: nearly always one, sometimes several in a row.

    Raises:
        ValueError: there is no document, or one is truncated.

    """
    try:
        return [from_json(body, cache_strings="keys")]
    except ValueError:
        pass
    text = _decoded(as_utf8(body, None)).strip(_BLANKS)
    decoder = json.JSONDecoder(strict=False)
    documents = []
    try:
        while text:
            document, end = decoder.raw_decode(text)
            documents.append(_without_surrogates(document))
            text = text[end:].strip(_BLANKS)
    except (ValueError, RecursionError) as error:
        if not documents or text[:1] in ("{", "["):  # a truncated document
            raise ValueError(str(error)) from None
    if not documents:
        raise ValueError("it is empty")
    return documents


def read_document(body: bytes) -> Any:
    """Return the first JSON document in a body.

    Raises:
        ValueError: there is no document, or one is truncated.

    """
    return read_documents(body)[0]


def as_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return a body converted to UTF-8, if its encoding is known.

    The encoding is known from the `Content-Type` header, a byte order mark, or zero bytes.
    """
    if _MAY_NOT_BE_UTF_8(body):
        for mark, encoding in _BYTE_ORDER_MARKS:
            if body.startswith(mark):
                return body.decode(encoding, "replace").encode()
        if b"\0" in body[:4]:
            return body.decode(json.detect_encoding(body), "replace").encode()
    charset = _charset_of(content_type) if content_type else None
    if charset is not None:
        try:
            return body.decode(charset).encode()
        except (LookupError, UnicodeError):
            pass
    return body


@lru_cache(maxsize=8)
def _charset_of(content_type: str) -> str | None:
    """Return the encoding in a `Content-Type` header, `None` if it is UTF-8 or missing."""
    charset = _CHARSET.search(content_type)
    return None if charset is None or charset[1].lower() in ("utf-8", "utf8") else charset[1]


def _decoded(body: bytes) -> str:
    """Return a body as text: as UTF-8, or else in the most likely encoding, Latin-1 or GB 18030."""
    text = body.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if 3 * broken <= sum(not character.isascii() for character in text):
        return text  # a few damaged characters among many valid ones
    runs = _NOT_ASCII.findall(body)
    if 2 * sum(len(run) > 1 for run in runs) < len(runs):  # accented letters mostly stand alone
        return body.decode("latin-1")
    try:
        return body.decode("gb18030")
    except UnicodeDecodeError:
        return text


def _without_surrogates(document: Any) -> Any:
    """Return a document with lone surrogates replaced, because they cannot be encoded."""
    return from_json(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
