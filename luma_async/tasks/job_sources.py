"""Job sources: the job or the file that a request works on, and the check that it has one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from luma_async.errors import InvalidRequestError
from luma_async.generation import Generation
from luma_async.image_sources import (
    GenerationReference,
    ImageLike,
    as_reference,
    is_data_uri,
    is_reference,
)
from luma_async.requests import JobRequest, Kind
from luma_async.tasks.task import VideoTask
from luma_async.text_values import is_web_url, shown_link, shown_value

JobSource = VideoTask | Generation | str
"""Job whose output a request works on: a task, a generation or an id."""

SourceLike = VideoTask | Generation | ImageLike
"""A job as a task, a generation or an id, or a file: a URL, `Path`, bytes or a reference."""

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
"""Fields of a request that is made of a prompt."""

_NO_SOURCE: dict[Kind, str] = {
    "generate": "a GenerateRequest has no source; an ExtendRequest has one",
    "image": "an ImageRequest has no source; an EditImageRequest has one",
}

_FILE_NAME = re.compile(
    r"[/\\]|\.(?:png|jpe?g|webp|gif|bmp|tiff?|avif|heic|mp4|m4v|mov|webm)$", re.IGNORECASE
)
"""Part of a text that cannot be the id of a job: a slash, or the suffix of an image or a video."""


def job_or_media(source: Any) -> tuple[JobSource | None, Any]:
    """Return a source as a job, or as the file for the field `media`; `None` for the other.

    A text that is not a URL, a data URI or a reference is the id of a job.

    Raises:
        InvalidRequestError: a text looks like the path of a file.

    """
    if isinstance(source, VideoTask | Generation):
        return source, None
    if isinstance(source, str):
        reference = as_reference(source)
        if is_reference(reference) or is_web_url(source) or is_data_uri(source):
            return None, reference
        if _FILE_NAME.search(source):
            raise InvalidRequestError.of(
                "source",
                f"{source[:200]!r} looks like a file and not like the id of a job; "
                "for a file, pass pathlib.Path(...), or an http(s) URL",
            )
        return source, None
    return None, source


def with_media(
    fields: Mapping[str, Any], media: Any, base: Mapping[str, Any] = NO_FIELDS
) -> dict[str, Any]:
    """Return the fields of a request with the file that it works on, unless `media` is `None`.

    `base` has the fields of a request that the fields are set on top of.

    Raises:
        InvalidRequestError: the fields or the request have another file.

    """
    if media is None:
        return dict(fields)
    if fields.get("media") is not None or base.get("media") is not None:
        raise InvalidRequestError.of("media", "excludes a source; pass one of them")
    return {**fields, "media": media}


def check_is_source(name: str, source: object, *, instead: str = "") -> None:
    """Check that a source is a job. `instead` says what to do with a file.

    Raises:
        InvalidRequestError: it is not.

    """
    if not isinstance(source, VideoTask | Generation | str):
        raise InvalidRequestError.of(
            name, f"must be a VideoTask, a Generation or an id, got {shown_value(source)}"
        )
    if not isinstance(source, str):
        return
    reference = as_reference(source)
    if isinstance(reference, GenerationReference):
        raise InvalidRequestError.of(
            name, f"must be the id alone, {shown_value(reference.id)}, got {shown_value(source)}"
        )
    if is_reference(reference) or is_data_uri(source) or is_web_url(source):
        shown = shown_value(shown_link(source) if is_web_url(source) else source)
        raise InvalidRequestError.of(name, f"must be a job{instead}, got {shown}")


def check_has_source(request: JobRequest, source: JobSource | None) -> None:
    """Check that a request has a source if it needs one, and none if it takes none.

    Raises:
        InvalidRequestError: a source is missing, or is one too many.

    """
    needs = request.source_need
    has_media = vars(request).get("media") is not None
    if needs == "required" or source is not None:
        has_field = "media" in type(request).model_fields
        instead = "; pass a file as media=..." if has_field else ""
        check_is_source("source", source, instead=instead)
    if needs == "none" and source is not None:
        raise InvalidRequestError.of("source", _NO_SOURCE[request.kind])
    if needs == "optional" and source is None and not has_media:
        raise InvalidRequestError.of("source", "is missing; pass a job, or media=...")
    if source is not None and has_media:
        raise InvalidRequestError.of("media", "excludes a source; pass one of them")
