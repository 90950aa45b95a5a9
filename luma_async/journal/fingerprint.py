"""Serialise a request for the journal and compute its fingerprint. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from luma_async.errors import InvalidRequestError
from luma_async.image_sources import Image, LocalFile, is_reference
from luma_async.requests import JobRequest
from luma_async.text_values import has_lone_surrogate

KEY_LIMIT = 500
"""Maximum length of a job key, in characters."""


def checked_key(key: Any) -> str:
    """Return a job key after checking it.

    Raises:
        InvalidRequestError: the key is not a string, is blank or too long, or contains a null
            character or a lone surrogate.

    """
    if not isinstance(key, str):
        raise InvalidRequestError.of("key", f"must be a string, got {key!r}; write {str(key)!r}")
    if not key.strip():
        raise InvalidRequestError.of("key", f"must not be blank, got {key!r}")
    if len(key) > KEY_LIMIT:
        raise InvalidRequestError.of(
            "key", f"must have at most {KEY_LIMIT} characters, has {len(key)}"
        )
    if "\0" in key or has_lone_surrogate(key):
        raise InvalidRequestError.of(
            "key", f"must not contain null characters or lone surrogates, got {key!r}"
        )
    return key


def kept_request(request: JobRequest) -> dict[str, Any]:
    """Return the fields that were set, as JSON values, with a digest in place of each image.

    An image may take megabytes, and nobody would read them in a journal.
    """
    fields = {
        name: _kept(value)
        for name, value in dict(request).items()
        if value is not None and value not in ({}, ())
    }
    if request.kind not in ("generate", "extend"):  # those have no or one source
        fields["kind"] = request.kind
    return dict(from_json(to_json(fields)))


def _kept(value: Any) -> Any:
    if isinstance(value, Image | LocalFile):
        return f"data:{value.media_type};sha256,{value.sha256}"
    if is_reference(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _kept(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_kept(item) for item in value]
    return value


def fingerprint(source_id: str | None, kept: Mapping[str, Any]) -> str:
    """Compute a digest that is equal for requests for the same video.

    `notify_hook` and `user_id` are not part of the digest: they do not change the video, and a
    restarted worker may well listen at another URL.
    """
    video = {name: value for name, value in kept.items() if name not in ("notify_hook", "user_id")}
    text = json.dumps([source_id, video], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
