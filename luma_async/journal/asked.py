"""What of a request goes into the journal, and what tells it from another. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from luma_async.errors import InvalidRequestError
from luma_async.half_characters import holds_half_character
from luma_async.pictures import Picture
from luma_async.tasks.submission import Submission

KEY_LIMIT = 500
"""Characters of a key."""


def checked_key(key: Any) -> str:
    """Return a caller's key.

    Raises:
        InvalidRequestError: it cannot be one.

    """
    if not isinstance(key, str):
        raise InvalidRequestError.of("key", f"{key!r} is no text; write {str(key)!r}")
    if not key.strip():
        raise InvalidRequestError.of("key", f"{key!r} names nothing; allowed is any other text")
    if len(key) > KEY_LIMIT:
        raise InvalidRequestError.of(
            "key", f"has {len(key)} characters; at most {KEY_LIMIT} are allowed"
        )
    if "\0" in key or holds_half_character(key):
        raise InvalidRequestError.of("key", f"{key!r} holds a character that is no text")
    return key


def kept_request(submission: Submission) -> dict[str, Any]:
    """Return the fields that were set, as JSON can carry them, with pictures told by a digest.

    A picture may have megabytes, which nobody reads in a journal.
    """
    fields = {
        name: _shortened(value)
        for name, value in dict(submission.sent).items()
        if value is not None and value != {}
    }
    return dict(from_json(to_json(fields)))


def fingerprint(source_id: str | None, kept: Mapping[str, Any]) -> str:
    """Return a digest that is equal where the same video is asked for.

    Who is told of it (`notify_hook`) is no part of that: a worker that is started again may well
    listen somewhere else.
    """
    video = {name: value for name, value in kept.items() if name != "notify_hook"}
    text = json.dumps([source_id, video], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _shortened(value: Any) -> Any:
    if not isinstance(value, Picture):
        return value
    return f"data:{value.media_type};sha256,{value.sha256}"
