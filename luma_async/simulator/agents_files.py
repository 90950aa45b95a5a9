"""Agents file routes: uploads of images and videos, and their records."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, get_args

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_request import FileField

from luma_async.simulator.agents_requests import FileBody, Purpose
from luma_async.simulator.answers import SignedLinks, as_json
from luma_async.simulator.clock import Clock
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.media_host import MediaHost
from luma_async.simulator.official_bodies import parsed
from luma_async.simulator.official_calls import RejectedError, api_key, json_object
from luma_async.simulator.uploaded_files import FileState, UploadedFile, UploadedFiles

_PIECE = 2**18
_PAGE_SIZE, _LARGEST_PAGE = 25, 100


class AgentsFiles:
    """Handlers of `/files`, and of the presigned uploads."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        links: SignedLinks,
        media: MediaHost,
        files: UploadedFiles,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._links = links
        self._media = media
        self._files = files

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, named like the calls in faults and the ledger."""
        one = "/v1/files/{id}"
        return [
            web.post("/v1/files", self._create, name="agents.create_file"),
            web.get("/v1/files", self._list, name="agents.list_files", allow_head=False),
            web.get(one, self._get, name="agents.get_file", allow_head=False),
            web.delete(one, self._delete, name="agents.delete_file"),
            web.post(f"{one}/complete", self._complete, name="agents.complete_file"),
            web.put("/uploads/{id}", self._upload, name="agents.upload"),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        if request.content_type == "multipart/form-data":
            return await self._create_with_content(request)
        body = parsed(FileBody, await json_object(request))
        _check_time(body.expires_at)
        file = self._files.create(body, api_key(request), self._media.folder)
        url, until = self._links.to_upload(file.id)
        upload = {
            "url": url,
            "method": "PUT",
            "headers": {"Content-Type": body.mime_type},
            "expires_at": self._time(until),
        }
        return self._created(file, upload)

    async def _create_with_content(self, request: web.Request) -> web.Response:
        try:
            form = await request.post()
        except (ValueError, HttpProcessingError, RuntimeWarning):  # aiohttp warns of some headers
            raise RejectedError(400, "body: is not valid multipart/form-data") from None
        part = form.get("file")
        if not isinstance(part, FileField):
            raise RejectedError(400, "file: a part with a file name is needed")
        content = await asyncio.to_thread(part.file.read)
        if not content:
            raise RejectedError(400, "file: is empty")
        fields = {name: form[name] for name in ("purpose", "user_id") if name in form}
        described = {"mime_type": part.content_type, "size_bytes": len(content)}
        body = parsed(FileBody, {**described, "filename": part.filename, **fields})
        file = self._files.create(body, api_key(request), self._media.folder)
        await asyncio.to_thread(file.path.write_bytes, content)
        file.stored = True
        await self._files.ingest(file)
        return self._created(file, None)

    async def _list(self, request: web.Request) -> web.Response:
        query, now = request.query, self._clock.now()
        limit = _number(query, "limit", _PAGE_SIZE)
        if not 1 <= limit <= _LARGEST_PAGE:
            raise RejectedError(400, f"limit: must be from 1 to {_LARGEST_PAGE}")
        before = _number(query, "cursor", None)
        purpose = _choice(query, "purpose", get_args(Purpose))
        state = _choice(query, "state", get_args(FileState))
        found = [
            file
            for file in self._files.newest_first(api_key(request))
            if (before is None or file.number < before)
            and purpose in (None, file.body.purpose)
            and (file.state(now) == state if state else file.deleted_at is None)
        ]
        page, more = found[:limit], len(found) > limit
        return as_json(
            {
                "data": [self._record(file) for file in page],
                "has_more": more,
                "next_cursor": str(page[-1].number) if more else None,
            }
        )

    async def _get(self, request: web.Request) -> web.Response:
        return as_json(self._record(self._found(request)))

    async def _delete(self, request: web.Request) -> web.Response:
        file = self._found(request)
        if file.deleted_at is not None:
            raise RejectedError(404, "the file is deleted")
        file.deleted_at = self._clock.now()
        await asyncio.to_thread(file.path.unlink, missing_ok=True)
        return web.Response(status=204)

    async def _complete(self, request: web.Request) -> web.Response:
        file = self._found(request)
        if file.deleted_at is not None:
            raise RejectedError(404, "the file is deleted")
        if not file.stored:
            raise RejectedError(422, "the bytes have not been uploaded")
        if file.ingested_at is None:
            await self._files.ingest(file)
        return as_json(self._record(file))

    async def _upload(self, request: web.Request) -> web.Response:
        """Store the bytes of a presigned upload. Errors are in the words of object stores."""
        if "Authorization" in request.headers:
            self._ledger.keys_seen_by_media.append(request.headers["Authorization"])
        file = self._files.find(request.match_info["id"], None)
        if file is None or file.deleted_at is not None:
            return _store_error(404, "NoSuchKey")
        if not self._links.is_valid(request.query.get("until", "")):
            return _store_error(403, "AccessDenied")
        if request.headers.get("Content-Type") != file.body.mime_type:
            return _store_error(403, "SignatureDoesNotMatch")
        size = await self._store(request, file)
        if size != file.body.size_bytes:
            return _store_error(400, "IncompleteBody")
        file.stored = True
        return web.Response(status=200, headers={"ETag": f'"{file.id}"'})

    async def _store(self, request: web.Request, file: UploadedFile) -> int:
        size = 0
        with await asyncio.to_thread(file.path.open, "wb") as target:
            async for piece in request.content.iter_chunked(_PIECE):
                await asyncio.to_thread(target.write, piece)
                size += len(piece)
                if size > file.body.size_bytes:
                    break
        return size

    def _found(self, request: web.Request) -> UploadedFile:
        file = self._files.find(request.match_info["id"], api_key(request))
        if file is None:
            raise RejectedError(404, "file not found")
        return file

    def _created(self, file: UploadedFile, upload: dict[str, Any] | None) -> web.Response:
        record = self._record(file)
        document = {"id": file.id, "state": record["state"], "file": record, "upload": upload}
        return as_json(document, 201)

    def _record(self, file: UploadedFile) -> dict[str, Any]:
        state = file.state(self._clock.now())
        deleted = file.deleted_at
        return {
            "id": file.id,
            "created_at": self._time(file.created_at),
            "mime_type": file.body.mime_type,
            "purpose": file.body.purpose,
            "size_bytes": file.body.size_bytes,
            "state": state,
            "filename": file.body.filename,
            "failure_reason": file.failure if state == "failed" else None,
            "expires_at": file.body.expires_at,
            "deleted_at": None if deleted is None else self._time(deleted),
            "user_id": file.body.user_id,
        }

    def _time(self, moment: float) -> str:
        return datetime.fromtimestamp(self._clock.real(moment), UTC).isoformat()


def _check_time(text: str | None) -> None:
    try:
        datetime.fromisoformat(text or "2026-01-01T00:00:00Z")
    except ValueError:
        raise RejectedError(400, "expires_at: must be a time in RFC 3339") from None


def _number(query: Any, name: str, default: Any) -> Any:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise RejectedError(400, f"{name}: is not valid")
    return int(text)


def _choice(query: Any, name: str, allowed: tuple[str, ...]) -> str | None:
    text: str | None = query.get(name)
    if text is not None and text not in allowed:
        raise RejectedError(400, f"{name}: must be one of {', '.join(allowed)}")
    return text


def _store_error(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")
