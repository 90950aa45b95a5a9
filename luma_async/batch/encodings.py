"""Character encodings: decode a file of prompts, and reject one whose encoding is unclear."""

from __future__ import annotations

import codecs
import logging
import re

from luma_async.batch.problems import TableError

logger = logging.getLogger("luma_async.batch")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAVE_AS = "save the file as UTF-8 (in Excel: 'CSV UTF-8')"
_NON_ASCII = re.compile(rb"[\x80-\xff]")
_UTF8_CHARACTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_NOT_WESTERN = re.compile(
    rb"""
      [\xc0-\xff]{4}              # accented letters: a word of another alphabet
    | [\xc0-\xff][\xa1-\xac\xae-\xb6\xb8-\xbf][\xc0-\xff]     # a sign among them: East Asia
    | (?<=[a-z])[\xb3\xb9\xbf](?=[a-z])    # a superscript, or a question mark upside down: Polish
    """,
    re.VERBOSE,
)
"""Bytes that, read as Windows-1252, are in no word of a Western language."""


def decoded(data: bytes, name: str) -> str:
    """Decode a file: UTF-8, UTF-16 with a byte order mark, or else Windows-1252.

    Spreadsheets write Windows-1252 in most of Europe and America, without a mark. That guess is
    logged as a warning with the `name` of the file.

    Raises:
        TableError: the file has another encoding, or is not text.

    """
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8")
    )
    data = data[len(mark) :]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if mark:
            problem = (
                f"is not {encoding.upper()}, although the file has its byte order mark; {_SAVE_AS}"
            )
            raise _error(data, error.start, encoding, problem) from None
        text = _western(data, error.start)
        logger.warning(
            "%s is not UTF-8, so it is read as Windows-1252. If accents or quotes come out wrong, "
            "%s.",
            name,
            _SAVE_AS,
        )
    if "\0" in text:
        before = text[: text.index("\0")]
        raise TableError(
            before.count("\n") + 1,
            len(before) - before.rfind("\n"),
            f"there is a null character here, so the file is not text; {_SAVE_AS}",
        )
    return text


def _western(data: bytes, bad: int) -> str:
    """Decode Windows-1252, or raise an error if the bytes look like another encoding.

    A prompt with wrong characters would be paid for.
    """
    whole = [match.end() - match.start() for match in _UTF8_CHARACTER.finditer(data)]
    if len(whole) >= len(_NON_ASCII.findall(data)) - sum(whole):
        problem = f"is not UTF-8, unlike the rest of the file; {_SAVE_AS}"
        raise _error(data, bad, "utf-8", problem)
    if (word := _NOT_WESTERN.search(data)) is not None:
        problem = f"is not UTF-8, and does not look like Windows-1252 either; {_SAVE_AS}"
        raise _error(data, word.start(), "cp1252", problem)
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError as error:
        problem = f"is neither UTF-8 nor Windows-1252; {_SAVE_AS}"
        raise _error(data, error.start, "cp1252", problem) from None


def _error(data: bytes, at: int, encoding: str, problem: str) -> TableError:
    before = data[:at].decode(encoding, "replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return TableError(line, column, f"byte 0x{data[at]:02x} {problem}")
