"""How servers say no: the bodies of wire.md's error table, and the errors they become."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from pydantic_core import from_json

from luma_async import errors

SUCCESS_CODES = frozenset({"0", "200", "success", "ok"})
"""What `code` says in an envelope when all is well (compared in lower case)."""

NO_CREDIT_CODES = frozenset({"insufficient_user_quota", "insufficient_quota"})
UNKNOWN_JOB_CODES = frozenset({"task_not_exist", "task_not_found"})

_BY_STATUS: dict[int, type[errors.APIError]] = {
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    429: errors.RateLimitError,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal that the server explains in JSON."""

    message: str
    code: str | None = None
    request_id: str | None = None


def read_refusal(body: bytes, *, status: int) -> Refusal | None:
    """Return what a body explains, or `None` if it is no explanation in a form that is known.

    In an answer of 200 only an envelope with a code of failure is one: anything else that cannot
    be read there may come from a server that took the job.
    """
    document = _json_object(body)
    refusal = _in_envelope(document)
    if refusal is None and status >= 300:
        refusal = _in_error(document) or _in_detail(document)
    return refusal if refusal and (refusal.message or refusal.code) else None


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = from_json(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _in_envelope(document: dict[str, Any]) -> Refusal | None:
    """Read `{"code": "...", "message": "...", "data": null}` of task gateways."""
    code = _text(document.get("code"))
    failed = code is not None and code.lower() not in SUCCESS_CODES
    data = document.get("data")
    may_be_a_task = bool(data) and isinstance(data, dict | list)
    if not failed or may_be_a_task or not isinstance(document.get("message"), str):
        return None
    return Refusal(document["message"], code, _text(document.get("request_id")))


def _in_error(document: dict[str, Any]) -> Refusal | None:
    """Read `{"error": {"message": "...", "type": "...", "code": "..."}}` of the OpenAI family."""
    error = document.get("error")
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        return None
    code = _text(error.get("code")) or _text(error.get("type"))
    return Refusal(_text(error.get("message")) or "", code, _text(document.get("request_id")))


def _in_detail(document: dict[str, Any]) -> Refusal | None:
    """Read `{"detail": ...}` of the official service: a text, an object, or a list of problems."""
    match document.get("detail"):
        case str(message):
            return Refusal(message)
        case dict(detail):
            message = _text(detail.get("reason")) or _text(detail.get("message")) or ""
            return Refusal(message, _text(detail.get("code")))
        case list(problems):
            return Refusal("; ".join(_problem(problem) for problem in problems))
    return None


def _problem(problem: Any) -> str:
    match problem:
        case {"loc": [*where], "msg": str(message)}:
            return f"{'.'.join(str(part) for part in where)}: {message}"
        case {"msg": str(message)}:
            return message
    return str(problem)


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value) or None
    except ValueError:  # an integer of thousands of digits
        return None


def page_text(body: bytes) -> str:
    """Return what a body without a known form says, in a line: its title, or its first words."""
    message = _text(_json_object(body).get("message"))
    text = message or body[:4096].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        text = title[1]
    else:
        text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    line = " ".join(unescape(text).split())
    return line if len(line) <= 160 else f"{line[:157]}..."


def error_class(status: int, code: str | None) -> type[errors.APIError]:
    """Return which error a status and a server's code stand for.

    A task gateway may put an HTTP status into the `code` of a 200; it counts as the status then.
    """
    word = (code or "").lower()
    if word in NO_CREDIT_CODES:
        return errors.InsufficientCreditsError
    if word in UNKNOWN_JOB_CODES:
        return errors.NotFoundError
    if status < 400 and re.fullmatch(r"[45]\d\d", word):
        status = int(word)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return errors.ServerError
    return errors.BadRequestError if status >= 400 else errors.APIError
