"""Every error body of the wire, and the error that it becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luma_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.transport.error_bodies import ErrorBody, error_class, page_text, read_error_body
from tests.clients import KEY, connect

BODIES: list[tuple[Any, ErrorBody | None]] = [
    (
        {"error": {"message": "no", "type": "t", "param": "", "code": "insufficient_user_quota"}},
        ErrorBody("no", "insufficient_user_quota"),
    ),
    ({"error": {"message": "no", "type": "t", "code": None}}, ErrorBody("no", "t")),
    ({"error": "no"}, ErrorBody("no")),
    ({"code": "bad", "message": "no", "data": None}, ErrorBody("no", "bad")),
    ({"code": 1001, "message": "no"}, ErrorBody("no", "1001")),
    (
        {"code": "bad", "message": "no", "data": None, "request_id": "r"},
        ErrorBody("no", "bad", "r"),
    ),
    ({"detail": "no"}, ErrorBody("no")),
    ({"detail": {"reason": "no", "code": 1}}, ErrorBody("no", "1")),
    (
        {"detail": [{"loc": ["body", "prompt"], "msg": "too short"}, {"msg": "b"}, "c"]},
        ErrorBody("body.prompt: too short; b; c"),
    ),
    ({}, None),
    ([], None),
    ({"error": {}}, None),
    ({"error": None}, None),
    ({"detail": ""}, None),
    ({"message": "no"}, None),
    ({"code": 0, "message": "success", "data": None}, None),
]


@pytest.mark.parametrize(("body", "refusal"), BODIES, ids=repr)
def test_every_family_of_error_bodies_is_read(body: Any, refusal: ErrorBody | None) -> None:
    """Gateways of the OpenAI family, task gateways, the official service."""
    assert read_error_body(json.dumps(body).encode(), status=400) == refusal


@pytest.mark.parametrize("body", [b"<html>", b"", b"Bad Gateway", b"\xff\xfe"])
def test_a_page_explains_nothing(body: bytes) -> None:
    """A body that is not JSON has no explanation."""
    assert read_error_body(body, status=502) is None


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"code": "bad", "message": "no", "data": None}, ErrorBody("no", "bad")),
        ({"code": 0, "message": "success", "data": None}, None),
        ({"code": "200", "message": "", "data": None}, None),
        ({"code": "SUCCESS", "message": "", "data": None}, None),
        ({"error": {"message": "no"}}, ErrorBody("no")),
        ({"detail": "no"}, None),
    ],
    ids=repr,
)
def test_a_refusal_may_come_in_a_200(body: Any, refusal: ErrorBody | None) -> None:
    """As an envelope with a code of failure, or as an error; the rest may be anything."""
    assert read_error_body(json.dumps(body).encode(), status=200) == refusal


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, BadRequestError),
        (401, None, AuthenticationError),
        (402, None, InsufficientCreditsError),
        (403, None, PermissionDeniedError),
        (403, "insufficient_user_quota", InsufficientCreditsError),
        (404, None, NotFoundError),
        (400, "task_not_exist", NotFoundError),
        (405, None, BadRequestError),
        (409, None, BadRequestError),
        (413, None, BadRequestError),
        (422, None, BadRequestError),
        (429, None, RateLimitError),
        (429, "insufficient_quota", InsufficientCreditsError),
        (500, None, ServerError),
        (502, None, ServerError),
        (503, None, ServerError),
        (504, None, ServerError),
        (200, "bad", APIError),
        (200, "401", AuthenticationError),
        (200, "429", RateLimitError),
        (200, "500", ServerError),
        (200, "task_not_exist", NotFoundError),
        (302, None, APIError),
    ],
)
def test_every_status_has_its_error(status: int, code: str | None, kind: type[APIError]) -> None:
    """The statuses of the wire, and codes that say more than they."""
    assert error_class(status, code) is kind


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head>x</html>", "502 Bad Gateway"),
        (b"<style>a {}</style><h1>Sorry</h1>\n<p>We&#39;re down</p>", "Sorry We're down"),
        (b"upstream connect error", "upstream connect error"),
        (b'{"message": "bad upstream"}', "bad upstream"),
        (b"", ""),
        (b"x" * 1000, "x" * 157 + "..."),
    ],
)
def test_a_page_is_told_in_a_line(body: bytes, text: str) -> None:
    """The user sees what the proxy says, not its HTML."""
    assert page_text(body) == text


@pytest.mark.parametrize("family", ["openai", "task", "detail", "reason", "list", "page"])
async def test_errors_say_what_the_server_said(family: Any) -> None:
    """Status, call and the server's words reach the user in every family."""
    async with Simulator(variant=Variant(errors=family)) as sim, connect(sim) as luma:
        with pytest.raises(NotFoundError) as caught:
            await luma.get("job-1")

        assert caught.value.status == 404
        assert "task not found" in caught.value.message
        assert "GET /luma/generations/job-1" in str(caught.value)


async def test_a_refusal_inside_a_200_is_one() -> None:
    """Task gateways put errors into good statuses."""
    async with (
        Simulator(variant=Variant(errors="task_200"), credits=0) as sim,
        connect(sim) as luma,
    ):
        with pytest.raises(InsufficientCreditsError, match=r"Top up.*the job was not accepted"):
            await luma.generate("a cat")


async def test_a_wrong_key_is_an_authentication_error_that_does_not_show_it() -> None:
    """Even where the server quotes the key."""
    async with Simulator(api_key="another") as sim, connect(sim) as luma:
        with pytest.raises(AuthenticationError, match="LUMA_API_KEY") as caught:
            await luma.generate("a cat")

        assert caught.value.code == "invalid_api_key"
        assert KEY not in str(caught.value)


@pytest.mark.parametrize("header", ["x-request-id", "x-oneapi-request-id", "cf-ray"])
async def test_the_request_id_is_kept(header: str) -> None:
    """What the gateway's support asks for is in the error."""
    async with Simulator() as sim, connect(sim) as luma:
        fault = Fault.page(400, on=["get"])
        sim.faults.add(Fault(on=["get"], status=400, body=fault.body, headers=((header, "r-77"),)))

        with pytest.raises(BadRequestError, match="request id r-77") as caught:
            await luma.get("job-1")

        assert caught.value.request_id == "r-77"


@pytest.mark.parametrize("status", ["404", "405"])
async def test_a_gateway_without_extend_is_told_as_such(status: Any) -> None:
    """The call is deprecated on one page; the error says so rather than "not found"."""
    variant = Variant(extend=status)
    async with Simulator(variant=variant, durations=Fixed(0)) as sim, connect(sim) as luma:
        video = await (await luma.generate("a cat"))

        with pytest.raises(APIError, match=r"no longer offers extend; the job was not accepted"):
            await luma.extend(video, "on and on")


async def test_a_redirect_is_an_error_that_names_the_place() -> None:
    """The API key is not sent to another host automatically."""
    async with Simulator() as sim, connect(sim) as luma:
        where = ("Location", "https://elsewhere.example/luma/generations?x=y")
        sim.faults.add(Fault(status=301, headers=(where,)))

        with pytest.raises(APIError, match=r"another URL \(https://elsewhere.example\)"):
            await luma.generate("a cat")
