"""Error bodies: parsed in the forms that servers use, and matched to error classes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any

from luma_async import errors
from luma_async.transport.json_documents import read_documents
from luma_async.transport.rejections import NO_CREDIT_CODES, mentions_no_credit, status_of_code

SUCCESS_CODES = frozenset(
    {
        *("0", "00000", "200", "201", "202"),
        *("success", "successful", "succeed", "succeeded", "ok", "true"),
        *("accepted", "created", "submitted", "queued"),
    }
)
"""Values of `code` in the envelope of a success, in lower case."""

UNKNOWN_JOB_CODES = frozenset({"task_not_exist", "task_not_found"})
"""Error codes for a job that does not exist. They count with any status."""

_BY_STATUS: dict[int, type[errors.APIError]] = {
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    429: errors.RateLimitError,
}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """Error that the server explains in JSON."""

    message: str
    code: str | None = None
    request_id: str | None = None


def read_error_body(body: bytes, *, status: int) -> ErrorBody | None:
    """Return the error in a body, `None` if there is none in a known form.

    The `detail` of the official service counts only with a status of 300 or more.
    """
    for document in _objects(body):
        error = _in_envelope(document) or _in_error(document)
        if error is None and status >= 300:
            error = _in_detail(document)
        if error and (error.message or error.code):
            return error
    return None


def _objects(body: bytes) -> list[dict[str, Any]]:
    try:
        documents = read_documents(body)
    except ValueError:
        return []
    return [document for document in documents if isinstance(document, dict)]


def _in_envelope(document: dict[str, Any]) -> ErrorBody | None:
    """Read `{"code": "...", "message": "...", "data": null}` of task gateways."""
    code = _text(document.get("code"))
    if code is None or code.lower() in SUCCESS_CODES:
        return None
    message = document.get("message", document.get("msg"))
    if not isinstance(message, str):
        return None
    return ErrorBody(message, code, _text(document.get("request_id")))


def _in_error(document: dict[str, Any]) -> ErrorBody | None:
    """Read `{"error": {"message": "...", "type": "...", "code": "..."}}` of the OpenAI family."""
    error = document.get("error")
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        return None
    code = _text(error.get("code")) or _text(error.get("type"))
    return ErrorBody(_text(error.get("message")) or "", code, _text(document.get("request_id")))


def _in_detail(document: dict[str, Any]) -> ErrorBody | None:
    """Read `{"detail": ...}` of the official service: a text, an object, or a list of problems."""
    match document.get("detail"):
        case str(message):
            return ErrorBody(message)
        case dict(detail):
            message = _text(detail.get("reason")) or _text(detail.get("message")) or ""
            return ErrorBody(message, _text(detail.get("code")))
        case list(problems):
            return ErrorBody("; ".join(_problem(problem) for problem in problems))
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


def body_text(body: bytes) -> str:
    """Return the text of a page, without its tags."""
    text = body[:65_536].decode("utf-8", "replace")
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    return " ".join(unescape(text).split())


def page_text(body: bytes, scrub: Callable[[str], str] = str) -> str:
    """Return one line about a body in no known form: its title, or its first words.

    `scrub` removes the API key from the whole text, because a part of it may be left after a cut.
    """
    message = next((_text(document.get("message")) for document in _objects(body)), None)
    text = scrub(message or body[:8192].decode("utf-8", "replace"))[:4096]
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        text = title[1]
    else:
        text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    line = " ".join(unescape(text).split())
    return line if len(line) <= 160 else f"{line[:157]}..."


def error_class(status: int, code: str | None, message: str = "") -> type[errors.APIError]:
    """Return the error class for a status, an error code and a message of the server.

    A task gateway may put an HTTP status, or a word for one, into the `code` of a 200. This counts
    as the status then.
    """
    word = (code or "").lower()
    if word in NO_CREDIT_CODES or mentions_no_credit(f"{word} {message}"):
        return errors.InsufficientCreditsError
    if word in UNKNOWN_JOB_CODES:
        return errors.NotFoundError
    if status < 300:
        status = status_of_code(word) or status
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return errors.ServerError
    return errors.BadRequestError if status >= 400 else errors.APIError
