"""Calls for uploads are those of the contract, and their answers are read leniently."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from luma_agents.types import CreateFileResponse, File
from pydantic_core import from_json

from luma_async.dialects.agents_file_calls import AgentsFileCalls
from luma_async.dialects.file_calls import StoredFile, StoredState
from luma_async.errors import InvalidRequestError, ResponseError

CALLS = AgentsFileCalls()
FILE = {
    "id": "file-1",
    "created_at": "2026-11-01T10:00:00Z",
    "mime_type": "image/png",
    "purpose": "input",
    "size_bytes": 7,
    "state": "pending",
}
UPLOAD = {
    "url": "https://store.example/file-1?sig=a%2Bb",
    "method": "PUT",
    "headers": {"Content-Type": "image/png", "Content-Length": "7", "Host": "other.example"},
    "expires_at": "2026-11-01T11:00:00Z",
}
CREATED = {"id": "file-1", "state": "pending", "file": FILE, "upload": UPLOAD}


def create(filename: str | None = "cat.png") -> Any:
    return CALLS.create(media_type="image/png", size=7, filename=filename, purpose="input")


def test_the_calls_have_the_form_of_the_contract() -> None:
    """None of them submits a job, so each may be repeated."""
    calls = [create(), CALLS.complete("a b"), CALLS.get("file-1")]

    assert [str(call) for call in calls] == [
        "POST /v1/files",
        "POST /v1/files/a%20b/complete",
        "GET /v1/files/file-1",
    ]
    assert not any(call.submits for call in calls)
    assert from_json(calls[0].body) == {
        "mime_type": "image/png",
        "size_bytes": 7,
        "purpose": "input",
        "filename": "cat.png",
    }


@pytest.mark.parametrize(
    ("name", "sent"), [(None, None), ("\ud83d.png", None), ("a" * 300 + ".png", "a" * 251 + ".png")]
)
def test_a_name_that_is_not_fit_is_left_out_or_shortened(
    name: str | None, sent: str | None
) -> None:
    """The name is for the records of the server only."""
    assert from_json(create(filename=name).body).get("filename") == sent


def test_the_answers_of_the_contract_are_read() -> None:
    """Headers that belong to the connection are left out."""
    CreateFileResponse.model_validate(CREATED)
    File.model_validate(FILE)
    file, place = create().read(json.dumps(CREATED).encode())

    assert file == StoredFile(id="file-1", state=StoredState.PENDING)
    assert (place.url, dict(place.headers)) == (UPLOAD["url"], {"Content-Type": "image/png"})
    assert place.expires_at == datetime(2026, 11, 1, 11, tzinfo=UTC)
    failed = FILE | {"state": "failed", "failure_reason": "too dark"}
    assert CALLS.get("file-1").read(json.dumps(failed).encode()) == StoredFile(
        id="file-1", state=StoredState.FAILED, failure_reason="too dark"
    )


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {**CREATED, "id": None},
        {**CREATED, "upload": None},
        {**CREATED, "upload": {**UPLOAD, "url": " "}},
        {**CREATED, "upload": {**UPLOAD, "method": "POST"}},
    ],
)
def test_an_answer_without_a_place_is_an_error(answer: Any) -> None:
    """Without an id and a URL, there is nothing to upload to."""
    with pytest.raises(ResponseError):
        create().read(json.dumps(answer).encode())


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"id": "f", "state": "melted"}', b"{}"])
def test_an_answer_that_is_not_a_file_is_an_error(answer: bytes) -> None:
    """A file in an unknown state must not be used."""
    with pytest.raises(ResponseError):
        CALLS.get("f").read(answer)


@pytest.mark.parametrize("id", ["", "..", "\ud83d"])
def test_an_id_that_leads_elsewhere_is_an_error(id: str) -> None:
    """It may come from a journal that somebody has edited."""
    with pytest.raises(InvalidRequestError):
        CALLS.get(id)


@pytest.mark.parametrize(("hours", "lasts"), [(None, True), (-1, False), (1.9, False), (2, True)])
def test_a_file_must_last_as_long_as_a_job(hours: float | None, lasts: bool) -> None:
    """A job may wait, and then run for an hour."""
    now = datetime(2026, 11, 1, tzinfo=UTC)
    expires_at = None if hours is None else now + timedelta(hours=hours)
    file = StoredFile(id="f", state=StoredState.READY, expires_at=expires_at)
    assert file.lasts(now) is lasts
