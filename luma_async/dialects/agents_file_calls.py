"""File calls of the Agents API: `/v1/files`."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from luma_async.dialects.fields import as_object, as_reason, as_text, as_time
from luma_async.dialects.file_calls import (
    FilePurpose,
    PresignedUpload,
    StoredFile,
    StoredState,
)
from luma_async.dialects.job_rows import escaped_id, read_all
from luma_async.errors import ResponseError
from luma_async.text_values import has_lone_surrogate
from luma_async.transport.call import Call

_UNKNOWN = "The file was deleted, or it belongs to the account of another API key"
_NAME_LIMIT = 255
_FRAMING_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Headers that belong to the connection, so that a server cannot set them."""


class AgentsFileCalls:
    """Calls of the Agents API for uploads: a presigned `PUT` between create and complete.

    >>> str(AgentsFileCalls().get("a-file"))
    'GET /v1/files/a-file'
    """

    inline_limit = 2**20
    inline_total = 4 * 2**20
    image_limit = 50 * 10**6
    video_limit = 5 * 2**30

    def create(
        self, *, media_type: str, size: int, filename: str | None, purpose: FilePurpose
    ) -> Call[tuple[StoredFile, PresignedUpload]]:
        """Build the call that creates a file without content: `POST /v1/files`."""
        fields: dict[str, Any] = {"mime_type": media_type, "size_bytes": size, "purpose": purpose}
        if filename and not has_lone_surrogate(filename):
            fields["filename"] = filename[-_NAME_LIMIT:]
        return Call(
            "POST",
            "/v1/files",
            _read_created,
            body=to_json(fields),
            missing="Check base_url: this host does not take uploads",
        )

    def complete(self, id: str) -> Call[StoredFile]:
        """Build the call that begins the ingest: `POST /v1/files/{id}/complete`."""
        return Call("POST", f"/v1/files/{escaped_id(id)}/complete", _read_file, missing=_UNKNOWN)

    def get(self, id: str) -> Call[StoredFile]:
        """Build the call that returns the record of a file: `GET /v1/files/{id}`."""
        return Call("GET", f"/v1/files/{escaped_id(id)}", _read_file, missing=_UNKNOWN)


def _read_created(body: bytes) -> tuple[StoredFile, PresignedUpload]:
    answer = _parsed(body)
    upload = as_object(answer.get("upload"))
    url = as_text(upload.get("url"))
    if url is None:
        raise ResponseError("it has no URL for the upload")
    if as_text(upload.get("method")) not in (None, "PUT"):
        raise ResponseError("its upload is not a PUT")
    headers = {
        name: value
        for name, value in as_object(upload.get("headers")).items()
        if isinstance(value, str) and name.lower() not in _FRAMING_HEADERS
    }
    place = PresignedUpload(url=url, headers=headers, expires_at=as_time(upload.get("expires_at")))
    return _file({**as_object(answer.get("file")), "id": answer.get("id")}, "pending"), place


def _read_file(body: bytes) -> StoredFile:
    return _file(_parsed(body))


def _parsed(body: bytes) -> dict[str, Any]:
    return dict(as_object(read_all(body)[0]))


def _file(record: dict[str, Any], default: str | None = None) -> StoredFile:
    id = as_text(record.get("id"))
    state = as_text(record.get("state")) or default
    if id is None or state not in {known.value for known in StoredState}:
        raise ResponseError("it is not the record of a file")
    return StoredFile(
        id=id,
        state=StoredState(state),
        failure_reason=as_reason(record.get("failure_reason")),
        expires_at=as_time(record.get("expires_at")),
    )
