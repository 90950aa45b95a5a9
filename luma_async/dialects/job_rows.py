"""Job rows: the path of a job, the row in an answer about it, and the state that the row names."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote

from luma_async.dialects.accepted_job import accepted_job
from luma_async.dialects.fields import JSONObject, as_object, as_state, as_text
from luma_async.errors import InvalidRequestError, ResponseError
from luma_async.generation import State
from luma_async.text_values import has_lone_surrogate
from luma_async.transport.json_documents import read_documents

logger = logging.getLogger("luma_async")

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")
_MOST_UNKNOWN_WORDS = 99


def escaped_id(id: str) -> str:
    """Return the id of a job as one segment of a path.

    Raises:
        InvalidRequestError: the text cannot be the id of a job.

    """
    if _PLAIN_ID.fullmatch(id):
        return id
    if has_lone_surrogate(id):
        raise InvalidRequestError.of("id", f"must not contain lone surrogates, got {id!r}")
    if not id.strip("."):
        raise InvalidRequestError.of("id", f"{id!r} is not the id of a job")
    return quote(id, safe="")


def read_all(body: bytes) -> list[Any]:
    """Return the JSON documents of an answer.

    Raises:
        ResponseError: the answer is not JSON.

    """
    try:
        return read_documents(body)
    except ValueError:
        raise ResponseError("it is not JSON") from None


def read_job(body: bytes) -> JSONObject:
    """Return the row of one job from an answer: the object itself, or the job in a wrapper.

    Raises:
        ResponseError: the answer is not JSON, or names no job.

    """
    documents = read_all(body)
    row = as_object(documents[0])
    return row if as_text(row.get("id")) and "state" in row else accepted_job(documents)


class StateWords:
    """States by the words of a server. An unknown word is logged once."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()

    def state(self, word: str) -> State | None:
        """Return the state for a word, and `None` for an unknown word."""
        word = word.strip().lower()
        state = as_state(word)
        if state is None and word not in self._unknown and len(self._unknown) < _MOST_UNKNOWN_WORDS:
            self._unknown.add(word)
            logger.warning("Unknown job state %.60r: the job counts as still running.", word)
        return state
