"""The simulator stores files of clients: uploads in two ways, their states, and their pages."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.clients import HOUR
from tests.simulator.agents_api import AgentsApi, agents_api, an_image

PNG = an_image()
DESCRIBED = {"mime_type": "image/png", "size_bytes": len(PNG)}


async def put(upload: dict[str, Any], content: bytes, **headers: str) -> int:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.request(
        upload["method"], upload["url"], data=content, headers={**upload["headers"], **headers}
    ) as response:
        return response.status


async def test_a_presigned_upload() -> None:
    """The file is pending until its ingest ends, and can be used from then on."""
    async with agents_api() as api:
        created = await api.ask("POST", "/files", {**DESCRIBED, "filename": "a.png"})
        id, upload = created.document["id"], created.document["upload"]
        early = await api.ask("POST", f"/files/{id}/complete")
        status = await put(upload, PNG)
        completed = await api.ask("POST", f"/files/{id}/complete")
        use = {"prompt": "a cat", "type": "video", "video": {"start_frame": {"file_id": id}}}
        pending = await api.ask("POST", "/generations", use)
        api.sim.advance(1)
        ready = await api.ask("GET", f"/files/{id}")
        used = await api.ask("POST", "/generations", use)
        again = await api.ask("POST", f"/files/{id}/complete")

        assert created.status == 201
        assert created.document["file"]["id"] == id
        assert (early.status, early.detail) == (422, "the bytes have not been uploaded")
        assert status == 200
        assert completed.document["state"] == "pending"
        assert pending.status == 422
        assert ready.document["state"] == "ready"
        assert (ready.document["filename"], ready.document["purpose"]) == ("a.png", "input")
        assert used.status == 201
        assert (again.status, again.document["state"]) == (200, "ready")
        assert api.sim.ledger.requests["agents.upload"] == 1
        assert api.sim.ledger.keys_seen_by_media == []


async def test_an_object_store_rejects_other_bytes_than_announced() -> None:
    """The size, the type and the time of the link are signed; the API key does not belong there."""
    async with agents_api() as api:
        created = (await api.ask("POST", "/files", DESCRIBED)).document
        upload = created["upload"]

        assert await put(upload, PNG[:-1]) == 400
        assert await put(upload, PNG + b"more") == 400
        assert await put(upload, PNG, Content_Type="image/jpeg") == 403
        assert await put({**upload, "url": upload["url"].replace(created["id"], "no")}, PNG) == 404
        assert await put(upload, PNG, Authorization="Bearer luma-api-a-key") == 200
        assert api.sim.ledger.keys_seen_by_media == ["Bearer luma-api-a-key"]
        api.sim.advance(2 * HOUR)
        assert await put(upload, PNG) == 403


async def test_an_upload_within_a_form() -> None:
    """It needs no further call, and its ingest has begun."""
    async with agents_api() as api:
        created = await form(api, PNG, purpose="reference", user_id="u-1")
        failed = await form(api, b"this is a text")
        api.sim.advance(1)
        looks = [
            (await api.ask("GET", f"/files/{each.document['id']}")).document
            for each in (created, failed)
        ]
        missing = await api.ask("POST", "/files", data=aiohttp.FormData({"file": "a text"}))

        assert (created.status, created.document["upload"]) == (201, None)
        assert created.document["state"] == "pending"
        assert looks[0]["size_bytes"] == len(PNG)
        assert (looks[0]["purpose"], looks[0]["user_id"]) == ("reference", "u-1")
        assert [look["state"] for look in looks] == ["ready", "failed"]
        assert looks[1]["failure_reason"] == "the content is not an image or a video"
        assert missing.status == 400


async def test_a_form_with_an_unreadable_header_is_rejected() -> None:
    """Also where warnings are errors, as here: aiohttp only warns of such a header."""
    body = b'--x\r\nContent-Disposition: form-data; name="a\xf8\x88;;b"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with agents_api() as api:
        answer = await api.ask("POST", "/files", data=body, headers=headers)

    assert (answer.status, answer.detail) == (400, "body: is not valid multipart/form-data")


async def form(api: AgentsApi, content: bytes, **fields: str) -> Any:
    data = aiohttp.FormData(fields)
    data.add_field("file", content, filename="a.png", content_type="image/png")
    return await api.ask("POST", "/files", data=data)


async def test_images_have_limits() -> None:
    """A side of more than 8,000 pixels fails, and so does a video that is cut off."""
    async with agents_api() as api:
        wide = await api.upload(an_image(width=8001, height=1), "image/png")
        wide_enough = await api.upload(an_image(width=8000, height=1), "image/png")
        cut_off = await api.upload(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4")
        states = [
            (await api.ask("GET", f"/files/{id}")).document["state"]
            for id in (wide, wide_enough, cut_off)
        ]

        assert states == ["failed", "ready", "failed"]


async def test_a_deleted_file_cannot_be_used() -> None:
    """Its record stays, with the state `deleted`; it is not in the list unless asked for."""
    async with agents_api() as api:
        id = await api.upload(PNG, "image/png")
        deleted = await api.ask("DELETE", f"/files/{id}")
        look = (await api.ask("GET", f"/files/{id}")).document
        use = {"prompt": "a cat", "image_ref": [{"file_id": id}]}
        used = await api.ask("POST", "/generations", use)
        again = await api.ask("DELETE", f"/files/{id}")
        listed = (await api.ask("GET", "/files")).document["data"]
        asked_for = (await api.ask("GET", "/files?state=deleted")).document["data"]

        assert (deleted.status, again.status, used.status) == (204, 404, 422)
        assert look["state"] == "deleted"
        assert look["deleted_at"]
        assert listed == []
        assert [file["id"] for file in asked_for] == [id]


async def test_the_list_of_files() -> None:
    """Newest first, page by page, with filters, and each client sees its own."""
    async with agents_api() as api:
        ids = []
        for number in range(5):
            purpose = "reference" if number % 2 else "input"
            created = await api.ask("POST", "/files", {**DESCRIBED, "purpose": purpose})
            ids.append(created.document["id"])
        pages, query = [], "limit=2"
        while query:
            page = (await api.ask("GET", f"/files?{query}")).document
            pages.append([file["id"] for file in page["data"]])
            query = f"limit=2&cursor={page['next_cursor']}" if page["has_more"] else ""
        references = (await api.ask("GET", "/files?purpose=reference")).document["data"]
        ready = (await api.ask("GET", "/files?state=ready")).document["data"]
        other = {"Authorization": "Bearer luma-api-another-key"}
        foreign = (await api.ask("GET", "/files", headers=other)).document["data"]

        assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]
        assert [file["id"] for file in references] == [ids[3], ids[1]]
        assert ready == foreign == []
        assert (await api.ask("GET", f"/files/{ids[0]}", headers=other)).status == 404
        for query in ("limit=0", "limit=101", "limit=x", "cursor=x", "purpose=x", "state=x"):
            assert (await api.ask("GET", f"/files?{query}")).status == 400, query


async def test_a_description_must_be_valid() -> None:
    """The size is from 1 byte to 5 GiB, and the time of expiry is a time."""
    async with agents_api() as api:
        for fields in (
            {"size_bytes": 0},
            {"size_bytes": 5 * 2**30 + 1},
            {"size_bytes": "7"},
            {"mime_type": None},
            {"purpose": "other"},
            {"expires_at": "tomorrow"},
        ):
            answer = await api.ask("POST", "/files", {**DESCRIBED, **fields})
            assert answer.status == 400, fields
            assert next(iter(fields)) in answer.detail
        valid = {"size_bytes": 5 * 2**30, "expires_at": "2027-01-01T00:00:00Z", "filename": None}
        assert (await api.ask("POST", "/files", {**DESCRIBED, **valid})).status == 201
