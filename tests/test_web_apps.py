"""Requests and generations in the web apps of others: FastAPI validates, documents and returns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi import Request as HTTPRequest
from fastapi.responses import JSONResponse
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel

from luma_async import (
    EditImageRequest,
    EditRequest,
    ExtendRequest,
    GenerateRequest,
    Generation,
    ImageRequest,
    InvalidRequestError,
    LayersRequest,
    LumaClient,
    ReframeRequest,
    State,
)
from luma_async.simulator import Fixed, Simulator
from tests.clients import connect

IMAGE = "https://host/a.png"
POSITION = {"x": 0.0, "y": -0.5, "width": 1.0, "height": 2.0}
PRIVATE = {"request": {"notify_hook": "https://me/hook?token=secret"}}


class Order(BaseModel):
    customer: str
    request: GenerateRequest


AnyRequest = EditRequest | ReframeRequest | ImageRequest | EditImageRequest | LayersRequest


class Shown(BaseModel):
    title: str
    generations: list[Generation]


def app_with(luma: LumaClient | None = None) -> FastAPI:
    app = FastAPI()

    @app.post("/videos")
    async def submit(request: GenerateRequest) -> Generation:
        assert luma is not None
        return (await luma.generate(request)).generation

    @app.post("/orders")
    async def order(order: Order) -> Order:
        return order

    @app.post("/extensions")
    async def extend(request: ExtendRequest) -> ExtendRequest:
        return request

    @app.post("/edits")
    async def edit(request: EditRequest) -> Generation:
        assert luma is not None
        return (await luma.submit(request)).generation

    @app.post("/jobs")
    async def job(request: AnyRequest) -> AnyRequest:
        return request

    @app.get("/shown")
    async def show() -> Shown:
        return Shown(title="all", generations=[a_generation()])

    @app.get("/plain", response_model=None)
    async def plain() -> Any:
        return {"generation": a_generation()}

    @app.exception_handler(InvalidRequestError)
    async def invalid(_: HTTPRequest, error: InvalidRequestError) -> JSONResponse:
        return JSONResponse({"detail": error.fields}, 422)

    return app


def a_generation() -> Generation:
    return Generation(id="a", state=State.PENDING, raw=PRIVATE)


@asynccontextmanager
async def visitor(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://app") as client:
        yield client


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 6001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "a cat", "aspect_ratio": "5:4"}, "aspect_ratio"),
        ({"prompt": "a cat", "loop": True, "image_end": "https://host/end.png"}, "loop"),
        ({"prompt": "a cat", "loop": "yes"}, "loop"),
        ({"prompt": "a cat", "image": "ftp://host/cat.png"}, "image"),
        ({"prompt": "a cat", "image": 7}, "image"),
        ({"prompt": "a cat", "notify_hook": "me/hook"}, "notify_hook"),
        ({"prompt": "a cat", "model": ""}, "model"),
        ({"prompt": "a cat", "seed": 7}, "seed"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_a_bad_field_of_a_body_is_a_422_that_names_it(
    body: dict[str, Any], field: str
) -> None:
    """Also if the request is a field of another model."""
    async with visitor(app_with()) as client:
        alone = await client.post("/videos", json=body)
        inside = await client.post("/orders", json={"customer": "me", "request": body})

    assert (alone.status_code, inside.status_code) == (422, 422)
    assert [problem["loc"] for problem in alone.json()["detail"]] == [["body", field]]
    assert [problem["loc"] for problem in inside.json()["detail"]] == [["body", "request", field]]


async def test_all_bad_fields_of_a_body_are_named_at_once() -> None:
    """Those of the request, and those of the model around it."""
    body = {"request": {"prompt": "", "aspect_ratio": "7:7"}}
    async with visitor(app_with()) as client:
        answer = await client.post("/orders", json=body)

    assert {tuple(problem["loc"]) for problem in answer.json()["detail"]} == {
        ("body", "customer"),
        ("body", "request", "prompt"),
        ("body", "request", "aspect_ratio"),
    }


async def test_a_body_becomes_a_job_and_the_response_has_no_raw() -> None:
    """The job has the fields of the body, and the program can still read `raw`."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        async with visitor(app_with(luma)) as client:
            answer = await client.post("/videos", json={"prompt": "a cat", "loop": True})
        generation = await luma.get(answer.json()["id"])

    assert answer.status_code == 200
    assert "raw" not in answer.json()
    assert sim.ledger.jobs[0].request["loop"] is True
    assert generation.raw["id"] == generation.id


async def test_a_body_of_another_kind_becomes_a_job() -> None:
    """`submit()` takes the request as it is; what the server would refuse is a 422 as well."""
    body = {"prompt": "winter", "media": "https://host/a.mp4", "keyframes": {"9": IMAGE}}
    async with Simulator(durations=Fixed(0.0), short_side=64) as sim:
        async with (
            connect(sim, dialect="agents") as luma,
            visitor(app_with(luma)) as client,
        ):
            answer = await client.post("/edits", json=body)
            refused = await client.post("/edits", json={**body, "image": IMAGE})

    assert (answer.status_code, answer.json()["type"]) == (200, "video_edit")
    assert refused.status_code == 422
    assert "not allowed together with image" in refused.json()["detail"]["keyframes"]
    (job,) = sim.ledger.jobs
    assert job.request["video"] == {
        "edit": {"keyframes": [{"url": IMAGE}], "keyframe_indexes": [9]}
    }


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", "strength": "flex_1", "keyframes": {"9": "https://host/a.png"}},
        {"prompt": "x", "aspect_ratio": "1:1", "source_position": POSITION},
        {"prompt": "x", "references": ["https://host/a.png"], "style": "manga"},
        {"prompt": "x", "resolution": "2k", "media": "https://host/a.png"},
    ],
    ids=repr,
)
async def test_a_body_tells_its_kind_by_its_fields(body: dict[str, Any]) -> None:
    """A union of requests is validated and returned as a request alone is."""
    async with visitor(app_with()) as client:
        answer = await client.post("/jobs", json=body)

    assert answer.status_code == 200
    assert body.items() <= answer.json().items()


@pytest.mark.parametrize("path", ["/shown", "/plain"])
async def test_raw_is_in_no_response(path: str) -> None:
    """Neither inside another model, nor where FastAPI knows no type of the response."""
    async with visitor(app_with()) as client:
        answer = await client.get(path)

    assert answer.status_code == 200
    assert '"state":"pending"' in answer.text
    assert '"raw"' not in answer.text
    assert "secret" not in answer.text


async def test_the_documentation_of_an_app_shows_requests_and_generations() -> None:
    """OpenAPI has each field with its description, and no `raw`."""
    async with visitor(app_with()) as client:
        document = (await client.get("/openapi.json")).json()

    schemas = document["components"]["schemas"]
    body = document["paths"]["/videos"]["post"]["requestBody"]["content"]["application/json"]
    names = {name for name in schemas if name.startswith(("GenerateRequest", "ExtendRequest"))}
    assert body["schema"]["$ref"].rpartition("/")[2] in names
    for name in names:
        model = GenerateRequest if name.startswith("Generate") else ExtendRequest
        assert set(schemas[name]["properties"]) == set(model.model_fields)
        assert all("description" in field for field in schemas[name]["properties"].values())
    assert set(schemas["Generation"]["properties"]) == {*Generation.model_fields} - {"raw"}
    assert schemas["Generation"]["description"] == (
        "Status of a job at one moment, as the server reported it."
    )


async def test_a_request_is_returned_as_it_came() -> None:
    """A response with a request in it can be sent as a body again."""
    request = {"prompt": "on", "image": "https://host/cat.png", "extra": {"seed": 7}}
    async with visitor(app_with()) as client:
        first = await client.post("/extensions", json=request)
        again = await client.post("/extensions", json=first.json())

    assert first.json() == again.json()
    assert request.items() <= first.json().items()


@pytest.mark.parametrize("image", ["/etc/passwd", "cat.png", "C:\\cat.png", " https://host/a.png"])
async def test_a_server_that_allows_no_local_files_refuses_a_path(image: str) -> None:
    """The visitor gets a 422 with the name of the field, and no job is paid for."""
    async with Simulator() as sim, connect(sim, allow_local_files=False) as luma:
        async with visitor(app_with(luma)) as client:
            answer = await client.post("/videos", json={"prompt": "a cat", "image": image})

    assert answer.status_code == 422
    assert answer.json()["detail"] == {
        "image": "local files are not allowed by this client; pass a URL, bytes or a data URI"
    }
    assert sim.ledger.jobs == []
