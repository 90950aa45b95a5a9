"""Accepted submissions: an answer that names exactly one job in its outer levels is one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import GatewayDialect, GenerateRequest, Generation, ResponseError
from luma_async.simulator import Fixed, Simulator, Variant
from tests.clients import connect
from tests.dialects.test_any_json import ANY_JSON

ID = "4665a07c-0000"
TASK = {"id": ID, "state": "pending", "created_at": "2024-12-24T18:01:25.319129Z"}

ACCEPTED: dict[str, Any] = {
    "object": TASK,
    "nothing but an id": {"id": ID},
    "task_id": {"task_id": ID},
    "taskId": {"taskId": ID},
    "number": {"id": 4665},
    "array": [TASK],
    "array of an id": [{"id": ID}],
    "envelope": {"code": 0, "message": "success", "data": {"task_id": ID}},
    "envelope, bare id": {"code": "success", "message": "", "data": ID},
    "envelope, array": {"code": 200, "data": [{"id": ID}]},
    "envelope, array of bare ids": {"code": 200, "data": {"task_ids": [ID]}},
    "envelope, another success word": {"code": "SUCCEEDED", "data": {"id": ID}},
    "envelope, submitted": {"code": "submitted", "result": ID},
    "envelope, created": {"code": 201, "message": "created", "data": {"id": ID}},
    "envelope without a code": {"success": True, "data": {"id": ID}},
    "envelope without a code, bare id": {"status": "success", "data": ID},
    "envelope with a code of failure, and a task": {
        "code": "busy",
        "message": "late",
        "data": {"task_id": ID},
    },
    "row": {"code": "success", "data": {"id": 13917, "task_id": ID, "status": "SUBMITTED"}},
    "row that wraps a task": {"id": 13917, "task_id": ID, "data": {"id": ID, "state": "pending"}},
    "wrapper of a web client": {"gen_api_response": TASK, "gen_api_status": 201},
    "wrapper by any name": {"whatever": {"id": ID, "state": "queued"}, "user": {"id": "u-1"}},
    "wrapper and envelope": {"code": 0, "data": {"generation": {"id": ID}}},
    "an id of the envelope's own": {"id": "r-1", "code": "success", "data": {"task_id": ID}},
    "a row that counts itself": {"id": 13917, "data": {"id": ID, "state": "pending"}},
    "a request id beside it": {"id": "r-1", "code": 0, "request_id": "r-1", "task_id": ID},
}
NOT_ACCEPTED: dict[str, Any] = {
    "empty": {},
    "empty array": [],
    "nothing": None,
    "text": "ok",
    "two in an array": [{"id": ID}, {"id": "another"}],
    "two in an envelope": {"code": 0, "data": [{"id": ID}, {"id": "another"}]},
    "two by different names": {"job": {"id": ID}, "task": {"id": "another"}},
    "failure with a request's id": {"code": "busy", "message": "no", "id": "r-1"},
    "failure with a request's id inside": {"code": "busy", "message": "no", "data": {"id": "r-1"}},
    "failure in a text": {"code": "busy", "data": "try-again"},
    "error with a request's id": {"error": {"message": "no"}, "id": "r-1"},
    "error that has one": {"error": {"message": "no", "id": "r-1"}},
    "a user's id": {"user": {"id": "u-1"}},
    "a user's id and status": {"code": 0, "user": {"id": "u-1", "status": "active"}},
    "success without a job": {"code": 0, "message": "success", "data": None},
    "bare text without success": {"data": ID},
    "too deep": {"a": {"b": {"c": {"d": {"task_id": ID}}}}},
    "blank": {"id": " ", "task_id": ""},
}


def read(document: Any) -> Generation:
    call = GatewayDialect().submission(GenerateRequest("a cat"), None)
    return call.read(json.dumps(document).encode())


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_answer_that_names_one_job_is_an_accepted_submission(document: Any) -> None:
    """Arrays, wrappers, and envelopes with any word of success are seen through."""
    assert read(document).id == ("4665" if document == {"id": 4665} else ID)


@pytest.mark.parametrize("document", NOT_ACCEPTED.values(), ids=NOT_ACCEPTED.keys())
def test_an_answer_that_names_no_job_or_several_cannot_be_read(document: Any) -> None:
    """An id that may be a request's is not taken for a job's."""
    with pytest.raises(ResponseError, match=r"names (no|several) job"):
        read(document)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"id": "4665a07c-0000"}',
        '{"id": "4665a07c-0000", "prompt": "猫"}'.encode("gb18030"),
        '{"id": "4665a07c-0000", "prompt": "Käse"}'.encode("latin-1"),
        '{"id": "4665a07c-0000"}'.encode("utf-16"),
        b'{"id": "4665a07c-0000", "prompt": "a\nb\x00"}',
        b'{"id": "4665a07c-0000"}\n{"x": 1}',
        b'{"x": 1}{"id": "4665a07c-0000"}',
        b'{"id": "4665a07c-0000"}{"id": "4665a07c-0000"}',
    ],
    ids=["mark", "gb18030", "latin-1", "utf-16", "control", "second", "second names it", "twice"],
)
def test_the_letter_of_the_format_costs_no_job(body: bytes) -> None:
    """What is not quite JSON is read as far as it says something."""
    assert GatewayDialect().submission(GenerateRequest("a cat"), None).read(body).id == ID


@pytest.mark.parametrize(
    "body", [b'{"id": "a"}{"id": "b"}', b'{"id": "a"}{"id": "b', b'{"id": "a', b"", b"<html>"]
)
def test_two_jobs_or_half_of_one_are_not_read_as_one(body: bytes) -> None:
    """It is uncertain then, and the user looks."""
    with pytest.raises(ResponseError):
        GatewayDialect().submission(GenerateRequest("a cat"), None).read(body)


@pytest.mark.parametrize("form", get_args(get_type_hints(Variant)["submission"]))
@pytest.mark.parametrize("id_name", ["id", "task_id", "taskId"])
async def test_every_form_of_a_gateway_s_answer_becomes_a_job(form: Any, id_name: Any) -> None:
    """From the submission to the video, over a real socket."""
    variant = Variant(submission=form, id_name=id_name)
    async with Simulator(durations=Fixed(0), variant=variant) as sim, connect(sim) as luma:
        video = await (await luma.generate("a cat"))

        assert [job.id for job in sim.ledger.jobs] == [video.id]


@given(ANY_JSON)
def test_any_json_is_one_job_or_a_response_error(document: Any) -> None:
    """Nothing else comes out of a submission, and a job has an id."""
    with suppress(ResponseError):
        generation = read(document)
        assert generation.id
        Generation.model_validate(dict(generation), strict=True)


@given(st.binary())
def test_any_bytes_are_one_job_or_a_response_error(body: bytes) -> None:
    """No bytes crash the reader."""
    with suppress(ResponseError):
        assert GatewayDialect().submission(GenerateRequest("a cat"), None).read(body).id
