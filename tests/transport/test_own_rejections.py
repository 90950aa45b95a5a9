"""Rejections of the Agents API: its own header tells them from those of a proxy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luma_async import (
    AgentsDialect,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    LumaError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SubmissionUncertainError,
)
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect

UNCERTAIN = SubmissionUncertainError
TRIES = 2
OWN, PROXY = {"X-API-Version": "2026-04-01"}, {"Via": "1.1 proxy"}


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    ("status", "detail", "headers", "sent", "error"),
    [
        (400, "prompt: is required", OWN, 1, BadRequestError),
        (401, "Invalid API key", OWN, 1, AuthenticationError),
        (402, "Insufficient balance", OWN, 1, InsufficientCreditsError),
        (403, "The account is suspended", OWN, 1, PermissionDeniedError),
        (404, "Not found", OWN, 1, NotFoundError),
        (413, "The body is too large", OWN, 1, BadRequestError),
        (422, "loop is not valid with hdr", OWN, 1, BadRequestError),
        (422, [{"loc": ["body", "prompt"], "msg": "too long"}], OWN, 1, BadRequestError),
        (429, "Too many requests", {**OWN, "Retry-After": "0"}, TRIES, RateLimitError),
        (503, "Image ingestion is unavailable", OWN, TRIES, ServerError),
        (503, "Image ingestion is unavailable", PROXY, 1, UNCERTAIN),
        (503, "Image ingestion: no response in time (timeout)", OWN, 1, UNCERTAIN),
        (503, "The upstream is unavailable", OWN, 1, UNCERTAIN),
        (502, "The upstream is unavailable", OWN, 1, UNCERTAIN),
        (502, "Bad gateway", PROXY, 1, UNCERTAIN),
        (500, "Internal server error", OWN, 1, UNCERTAIN),
        (504, "Gateway timeout", PROXY, 1, UNCERTAIN),
    ],
)
async def test_a_rejection_is_certain_only_if_no_job_can_exist(
    status: int, detail: Any, headers: dict[str, str], sent: int, error: type[LumaError]
) -> None:
    """A 503 of the API itself comes before the job and is sent again; that of a proxy may not."""
    async with Simulator() as sim:
        async with connect(sim, dialect=AgentsDialect(), max_tries=TRIES) as luma:
            sim.faults.add(
                Fault.answer(
                    json.dumps({"detail": detail}).encode(),
                    status=status,
                    headers=tuple(headers.items()),
                )
            )

            with pytest.raises(error) as caught:
                await luma.generate("a cat")

        assert type(caught.value) is error
        assert sim.ledger.requests["agents.generate"] == sent
        assert sim.ledger.jobs == []


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    "body", [b"", b"<html>503 Service Unavailable</html>", b'{"detail": "Image inges']
)
async def test_a_503_that_is_not_whole_json_is_uncertain(body: bytes) -> None:
    """A proxy may put the header of the API on a page of its own, after the job was made."""
    async with Simulator() as sim, connect(sim, dialect=AgentsDialect(), max_tries=TRIES) as luma:
        sim.faults.add(
            Fault.answer(body, status=503, headers=tuple(OWN.items()), after=True, times=1)
        )

        with pytest.raises(UNCERTAIN):
            await luma.generate("a cat")

        assert len(sim.ledger.jobs) == 1


@pytest.mark.usefixtures("quick_retries")
async def test_a_job_is_accepted_once_images_can_be_read_again() -> None:
    """The second try makes the only job."""
    async with (
        Simulator(durations=Fixed(0.1), short_side=64) as sim,
        connect(sim, dialect=AgentsDialect()) as luma,
    ):
        sim.reject_next(503, "Image ingestion is unavailable")

        await (await luma.generate("a cat", image="https://host/a.png"))

    assert sim.ledger.requests["agents.generate"] == 2
    assert len(sim.ledger.jobs) == 1
