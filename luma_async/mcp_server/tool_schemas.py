"""Tool schemas: the arguments of the tools as JSON schemas, from the models of requests. Pure.

A schema is part of the context of the agent in each conversation, so it is kept short: titles,
defaults and the alternative `null` are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luma_async.dialects import Dialect
from luma_async.errors import InvalidRequestError, UnsupportedError
from luma_async.mcp_server.tool_arguments import LONGEST_NAME
from luma_async.request_kinds import REQUESTS
from luma_async.requests import JobRequest, Kind

LONGEST_KEY = 200
"""Maximum length of a key that an agent chooses, in characters."""

KEY: Mapping[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_KEY,
    "pattern": r"\S",
    "description": "Job key: your own name for this one job, such as `intro-cat-take-1`. It makes "
    "a repeat harmless: a call with a key that is known returns its job, and costs nothing. If a "
    "call fails, times out or is cancelled, repeat it with the same key. Choose a new key only for "
    "a further job that is to be paid for. Other conversations use the same keys, so be specific.",
}

_IMAGE = (
    "an http(s) URL; the path of a file in the folder of this server, such as `cat.png`; or "
    "`generation:ID` for the output of a job"
)
_SOURCE = "Id or key of the {state} job whose output to work on."
_ONLY_FOR_PROGRAMS = ("notify_hook", "user_id", "extra")
"""Fields that an agent does not get. `extra` would override all others, and `notify_hook` would
send data to any host."""

_COSTS = {
    "model": "Models differ in price.",
    "resolution": "A higher one costs more.",
    "duration": "A longer video costs more.",
    "hdr": "It costs more.",
}
"""Sentences to add to the descriptions of fields that change the price."""

_IMAGES = {
    "image": f"First frame: {_IMAGE}.",
    "image_end": "Last frame, in the same forms as `image`.",
    "references": f"Images to take the style or content from, each one {_IMAGE}.",
    "media": f"The file to work on, in place of `source`: {_IMAGE}.",
}
"""Descriptions of fields for images. In Python, they take more forms."""

_SAMPLE = {"prompt": "a cat dances in the rain", "aspect_ratio": "16:9"}


def schema_of_request(kind: Kind) -> dict[str, Any]:
    """Return the JSON schema of the arguments of a tool that submits a kind of request."""
    request = REQUESTS[kind]
    schema = request.model_json_schema()
    fields: dict[str, Any] = {"key": dict(KEY)}
    required = ["key"]
    if request.source_need != "none":
        is_needed = request.source_need == "required"
        instead = "" if is_needed else " Either this or `media`."
        described = _SOURCE.format(state="completed") + instead
        fields["source"] = {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "description": described,
        }
        required += ["source"] if is_needed else []
    fields |= {
        name: _field(name, field)
        for name, field in schema["properties"].items()
        if name not in _ONLY_FOR_PROGRAMS
    }
    return {
        "type": "object",
        "properties": fields,
        "required": [*required, *schema.get("required", ())],
        "additionalProperties": False,
        **({"$defs": _short(schema["$defs"])} if "$defs" in schema else {}),
    }


def schema_of_result(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a result. Fields without a value are left out of results."""
    return dict(_short(schema))


def offers(dialect: Dialect, kind: Kind) -> bool:
    """Return `True` if the server of a dialect takes a kind of request."""
    request = _sample(REQUESTS[kind])
    try:
        dialect.check(request, has_source=request.source_need != "none")
    except UnsupportedError:
        return False
    except InvalidRequestError:  # it takes such requests, with more fields than the sample has
        return True
    return True


def _sample(request: type[JobRequest]) -> JobRequest:
    needed = {name for name, field in request.model_fields.items() if field.is_required()}
    return request.from_mapping({name: _SAMPLE[name] for name in {"prompt", *needed}})


def _field(name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    short: dict[str, Any] = _short(field)
    described = _IMAGES.get(name) or short.get("description", "")
    if name in _COSTS:
        described = f"{described} {_COSTS[name]}"
    return {**short, "description": described}


def _short(value: Any) -> Any:
    """Return a schema without titles, defaults and `null`; files need not be URIs."""
    if isinstance(value, list):
        return [_short(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    short = {
        name: {each: _short(field) for each, field in item.items()}
        if name in ("properties", "$defs") and isinstance(item, Mapping)
        else _short(item)
        for name, item in value.items()
        if name not in ("title", "default", "examples") and (name, item) != ("format", "uri")
    }
    options = [each for each in short.pop("anyOf", ()) if each != {"type": "null"}]
    if len(options) == 1:
        return {**options[0], **short}
    return {**short, "anyOf": options} if options else short
