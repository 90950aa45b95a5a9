"""Answers that the Dream Machine dialect reads: those of Luma, and those of gateways."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from luma_async import (
    AgentsDialect,
    Asset,
    Credits,
    Dialect,
    DreamMachineDialect,
    GatewayDialect,
    GenerateRequest,
    Generation,
    ModerationError,
    ResponseError,
    State,
    UnsupportedError,
)
from luma_async.generation import failure_of

DIALECT = DreamMachineDialect()
ID = "123e4567-e89b-12d3-a456-426614174000"
URL, IMAGE_URL = "https://cdn/video.mp4", "https://cdn/image.jpg"
QUEUED: dict[str, Any] = {
    "id": ID,
    "generation_type": "video",
    "state": "queued",
    "failure_reason": None,
    "created_at": "2023-06-01T12:00:00Z",
    "assets": None,
    "model": "ray-2",
    "request": {"generation_type": "video", "prompt": "a lake", "model": "ray-2"},
}
COMPLETED = {
    **QUEUED,
    "state": "completed",
    "assets": {"video": URL, "progress_video": "https://cdn/preview.mp4"},
}


def read(row: Any) -> Generation:
    return DIALECT.generation(DIALECT.get(ID).read(json.dumps(row).encode()))


def test_a_row_of_luma() -> None:
    """All that the API tells is in the generation, and the rest is in `raw`."""
    seen = read(COMPLETED)

    assert (seen.id, seen.state, seen.prompt) == (ID, State.COMPLETED, "a lake")
    assert seen.created_at == datetime(2023, 6, 1, 12, tzinfo=UTC)
    assert (seen.video, seen.outputs) == (Asset(url=URL), (Asset(url=URL),))
    assert (seen.model, seen.type) == ("ray-2", "video")
    assert (seen.failure_code, seen.failure_reason, seen.progress) == (None, None, None)
    assert seen.raw["assets"]["progress_video"] == "https://cdn/preview.mp4"
    assert seen.url == URL


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", State.PENDING),
        ("dreaming", State.PROCESSING),
        ("completed", State.COMPLETED),
        ("failed", State.FAILED),
        ("SUCCESS", State.COMPLETED),
        ("in-progress", State.PROCESSING),
        ("daydreaming", State.PROCESSING),
    ],
)
def test_states_are_read_in_any_words(word: str, state: State) -> None:
    """Gateways write the states of this format in words of their own."""
    assert read({**QUEUED, "state": word}).state is state


@pytest.mark.parametrize(
    "row",
    [
        {**COMPLETED, "assets": {"video": {"url": URL}}},
        {**COMPLETED, "assets": None, "video": URL},
        {**COMPLETED, "assets": {}, "video": {"url": URL}},
        {"code": "success", "data": COMPLETED},
        {"task_id": ID, "status": "SUCCESS", "data": COMPLETED},
        {"id": 7, "task_id": ID, "status": "IN_PROGRESS", "data": COMPLETED},
        {"id": ID, "status": "SUCCESS", "fail_reason": URL, "data": None},
        [COMPLETED],
    ],
    ids=repr,
)
def test_the_video_is_found_in_the_answers_of_gateways(row: Any) -> None:
    """The video may be a URL or an object, anywhere, and the job in a wrapper."""
    seen = read(row)

    assert (seen.id, seen.state) == (ID, State.COMPLETED)
    assert seen.video is not None
    assert seen.video.url == URL


def test_an_image_is_an_output_without_a_video() -> None:
    """Its type is that of the field, for the API tells no other."""
    seen = read({**COMPLETED, "generation_type": "image", "assets": {"image": IMAGE_URL}})

    assert seen.video is None
    assert seen.outputs == (Asset(url=IMAGE_URL, media_type="image"),)
    assert seen.url == IMAGE_URL


def test_the_type_is_that_of_the_request() -> None:
    """`generation_type` of a job says only if it is a video or an image."""
    row = {**COMPLETED, "request": {"generation_type": "modify_video", "prompt": "rain"}}

    assert (read(row).type, read(row).prompt) == ("modify_video", "rain")


@pytest.mark.parametrize(
    ("reason", "is_moderation"),
    [("Prompt was moderated", True), ("400: Content moderated", True), ("Worker crashed", False)],
)
def test_failures_say_nothing_about_a_refund(reason: str, is_moderation: bool) -> None:
    """The API has a text alone: moderation is read from it, and refunds are not documented."""
    error = failure_of(read({**QUEUED, "state": "failed", "failure_reason": reason}))

    assert isinstance(error, ModerationError) is is_moderation
    assert error.refunded is None
    assert error.generation.failure_reason == reason


def test_a_mark_changes_with_progress() -> None:
    """A look at an unchanged row costs no parsing, and a new state or a link is seen."""
    rows: list[dict[str, Any]] = [
        QUEUED,
        {**QUEUED, "state": "dreaming"},
        {"task_id": ID, "status": "IN_PROGRESS", "data": {**QUEUED, "state": "dreaming"}},
        {"task_id": ID, "status": "IN_PROGRESS", "data": {**COMPLETED, "state": "dreaming"}},
    ]

    marks = [DIALECT.mark(row) for row in rows]

    assert len(set(marks)) == len(rows)
    assert marks == [DIALECT.mark({**row, "created_at": "later"}) for row in rows]


@pytest.mark.parametrize(
    "answer", [QUEUED, [QUEUED], {"data": QUEUED}, {"gen_api_response": QUEUED}], ids=repr
)
def test_an_accepted_job_is_found_in_any_wrapper(answer: Any) -> None:
    """As with the format that gateways have of their own."""
    call = DIALECT.submission(GenerateRequest("a lake"), None)

    assert call.read(json.dumps(answer).encode()).id == ID


OTHER = {**COMPLETED, "id": "other"}
ROWS = [QUEUED, OTHER]


@pytest.mark.parametrize(
    ("answer", "ids", "has_more"),
    [
        ({"generations": ROWS, "has_more": True, "count": 2, "offset": 0}, [ID, "other"], True),
        ({"generations": [], "has_more": False}, [], False),
        ({"generations": ROWS}, [ID, "other"], None),
        (ROWS, [ID, "other"], None),
        ({"code": "success", "data": ROWS, "has_more": False}, [ID, "other"], False),
        ({"code": 0, "data": {"generations": ROWS, "has_more": True}}, [ID, "other"], True),
        ({"generations": [None, "x", {"no": "id"}, OTHER], "has_more": "?"}, ["other"], None),
    ],
    ids=repr,
)
def test_pages_of_the_list(answer: Any, ids: list[str], has_more: bool | None) -> None:
    """An item without an id is left out, as there is nothing that one could do with it."""
    call = DIALECT.page(offset=200, limit=100)

    page = call.read(json.dumps(answer).encode())

    assert (call.method, call.path) == ("GET", "/dream-machine/v1/generations")
    assert call.query == {"limit": "100", "offset": "200"}
    assert [generation.id for generation in page.generations] == ids
    assert page.has_more is has_more


@pytest.mark.parametrize("answer", [b"{}", b"7", b'{"generations": null}', b"<html>"])
def test_an_answer_without_a_list_is_an_error(answer: bytes) -> None:
    """An empty list would say that the account has no jobs."""
    with pytest.raises(ResponseError):
        DIALECT.page(offset=0, limit=100).read(answer)


@pytest.mark.parametrize(
    ("answer", "usd"),
    [
        ({"credit_balance": 1250.0}, 12.5),
        ({"credit_balance": "1250"}, 12.5),
        ({"credit_balance": 0}, 0.0),
        ({"code": 0, "data": {"credit_balance": 99}}, 0.99),
    ],
    ids=repr,
)
def test_the_balance_is_in_dollars(answer: Any, usd: float) -> None:
    """The wire has US cents, which nobody expects of a number called credits."""
    credits = DIALECT.credits().read(json.dumps(answer).encode())

    assert credits == Credits(usd=usd, raw=answer.get("data", answer))


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"credit_balance": null}', b"oops"])
def test_an_answer_without_a_balance_is_an_error(answer: bytes) -> None:
    """It is not a balance of nothing."""
    with pytest.raises(ResponseError):
        DIALECT.credits().read(answer)


@pytest.mark.parametrize(
    "answer",
    [["pov", "zoom_in"], [{"key": "pov"}, {"key": "zoom_in"}], {"data": ["pov", "zoom_in"]}],
)
def test_concepts_are_read_as_names(answer: Any) -> None:
    """They may be texts, or objects as a request has them."""
    assert DIALECT.concepts().read(json.dumps(answer).encode()) == ("pov", "zoom_in")
    with pytest.raises(ResponseError):
        DIALECT.concepts().read(b"{}")


@pytest.mark.parametrize("dialect", [AgentsDialect(), GatewayDialect()], ids=lambda it: it.name)
def test_dialects_without_these_calls_say_what_to_do_instead(dialect: Dialect) -> None:
    """The errors name the dialect."""
    for call, advice in (
        (lambda: dialect.page(offset=0, limit=1), "journal"),
        (lambda: dialect.delete("a"), "forget()"),
        (dialect.credits, "website"),
        (dialect.concepts, "describe the motion"),
    ):
        with pytest.raises(UnsupportedError, match=f"the {dialect.name} dialect has no") as caught:
            call()
        assert advice in str(caught.value)
