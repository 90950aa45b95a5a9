"""What the gateway dialect reads: every shape, state word and variant of the wire."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.full_rows import row
from luma_async import Asset, GatewayDialect, Generation, ResponseError, State

ID = "4665a07c-0000"
URL = "https://cdn/video.mp4"

SUBMITTED = {
    "id": ID,
    "state": "pending",
    "created_at": "2024-12-24T18:01:25.319129Z",
    "request": {"prompt": "cat dance", "aspect_ratio": "16:9"},
}
EXTENDED = {
    "id": ID,
    "prompt": "",
    "state": "pending",
    "queue_state": None,
    "created_at": "2024-12-22T14:48:39.947851Z",
    "batch_id": "",
    "video": None,
    "video_raw": None,
    "liked": None,
    "estimate_wait_seconds": None,
    "thumbnail": None,
    "last_frame": None,
}
ENVELOPE = {
    "code": 0,
    "message": "success",
    "request_id": "r",
    "data": {
        "task_id": ID,
        "task_status": "submitted",
        "created_at": 1734878919000,
        "updated_at": 1734878919000,
    },
}
COMPLETED = {
    "id": ID,
    "state": "completed",
    "failure_reason": None,
    "video": {"url": URL, "width": 1360, "height": 752, "download_url": "https://cdn/clean.mp4"},
    "request": {"prompt": "cat dance", "aspect_ratio": "16:9"},
    "artifact": {
        "created_at": "0001-01-01T00:00:00Z",
        "video": {"url": "https://other"},
        "video_raw": None,
        "thumbnail": None,
        "last_frame": {"url": "https://other/last.jpg", "media_type": "image"},
    },
    "thumbnail": {
        "url": "https://cdn/thumb.jpg",
        "width": 1360,
        "height": 752,
        "palette": {"grid": "x"},
        "media_type": "image",
    },
    "video_raw": {
        "url": "https://cdn/raw.mp4",
        "width": 1360,
        "height": 752,
        "duration": 5.041667,
        "media_type": "video",
    },
    "created_at": "2024-12-22T13:38:40.139Z",
    "last_frame": {"url": "https://cdn/last.jpg", "width": 1360, "height": 752, "palette": None},
}
ROW = {
    **row(ID),
    "created_at": "2024-07-01T07:35:13.568Z",
    "data": {
        "id": ID,
        "state": "processing",
        "prompt": "cat dance",
        "video": None,
        "created_at": "2024-07-01T07:35:13.498Z",
        "liked": None,
        "estimate_wait_seconds": None,
    },
}


def read_one(document: Any) -> Generation:
    dialect = GatewayDialect()
    return dialect.generation(dialect.get(ID).read(json.dumps(document).encode()))


def read_many(document: Any) -> dict[str, Generation]:
    dialect = GatewayDialect()
    rows = dialect.get_many([ID]).read(json.dumps(document).encode())
    return {id: dialect.generation(row) for id, row in rows.items()}


@pytest.mark.parametrize(
    "document",
    [SUBMITTED, EXTENDED, ENVELOPE, {"code": "success", "message": "", "data": ID}],
    ids=["object", "extension", "envelope", "bare id"],
)
def test_every_answer_to_a_submission_names_its_task(document: Any) -> None:
    """A job that was accepted is pending under its id."""
    generation = read_one(document)

    assert (generation.id, generation.state) == (ID, State.PENDING)
    assert generation.raw


def test_a_completed_task_object_is_read_whole() -> None:
    """The documented answer to "get one"."""
    generation = read_one(COMPLETED)

    assert generation.state is State.COMPLETED
    assert generation.prompt == "cat dance"
    assert generation.video == Asset(
        url=URL, width=1360, height=752, download_url="https://cdn/clean.mp4"
    )
    assert generation.video_raw == Asset(
        url="https://cdn/raw.mp4", width=1360, height=752, duration=5.041667, media_type="video"
    )
    assert generation.thumbnail is not None
    assert generation.thumbnail.url == "https://cdn/thumb.jpg"
    assert generation.created_at == datetime(2024, 12, 22, 13, 38, 40, 139000, tzinfo=UTC)
    assert generation.raw["thumbnail"]["palette"] == {"grid": "x"}


def test_the_top_level_wins_and_the_artifact_fills_gaps() -> None:
    """Copies that disagree are settled field by field."""
    generation = read_one(COMPLETED)

    assert generation.last_frame == Asset(
        url="https://cdn/last.jpg", width=1360, height=752, media_type="image"
    )


def test_a_row_is_read_with_what_it_wraps() -> None:
    """The documented row of "get many": the string is the task, not the row's number."""
    assert read_many({"code": "success", "message": "", "data": [ROW]}) == {
        ID: Generation(
            id=ID,
            state=State.PROCESSING,
            prompt="cat dance",
            created_at=datetime(2024, 7, 1, 7, 35, 13, 498000, tzinfo=UTC),
            progress=0.4,
            raw=ROW,
        )
    }


def test_a_bare_array_is_read() -> None:
    """The other documented answer to "get many"."""
    found = read_many([COMPLETED, {**SUBMITTED, "id": "another"}])

    assert {id: generation.state for id, generation in found.items()} == {
        ID: State.COMPLETED,
        "another": State.PENDING,
    }


@pytest.mark.parametrize("document", [[], {"code": 0, "message": "", "data": []}])
def test_unknown_ids_are_simply_missing(document: Any) -> None:
    """An answer without rows is an answer."""
    assert read_many(document) == {}


def test_a_row_that_comes_twice_is_read_once() -> None:
    """The same words twice are no contradiction."""
    assert read_many([SUBMITTED, dict(SUBMITTED)])[ID].state is State.PENDING


@pytest.mark.parametrize("times", [2, 3, 4])
def test_rows_that_contradict_each_other_say_nothing(times: int) -> None:
    """An empty row has the job looked at singly; none of the answers is taken for the last."""
    rows = [{**SUBMITTED, "state": word} for word in ("failed", "completed", "pending", "failed")]
    another = {**SUBMITTED, "id": "another"}

    found = GatewayDialect().get_many([ID]).read(json.dumps([*rows[:times], another]).encode())

    assert found == {ID: {}, "another": another}


@pytest.mark.parametrize(
    ("row", "ids"),
    [
        ({"id": "a"}, ["a"]),
        ({"id": 7, "task_id": "a", "data": {"id": "b"}}, ["a", "7", "b"]),
        ({"taskId": "a", "data": {"task_id": "b", "taskId": "c"}}, ["a", "b", "c"]),
        ({"id": "", "task_id": None, "taskId": True, "data": []}, []),
    ],
    ids=repr,
)
def test_every_id_of_a_row_is_known(row: Any, ids: list[str]) -> None:
    """Under each name, of the row and of the task that it wraps."""
    assert GatewayDialect().ids(row) == ids


@pytest.mark.parametrize(
    "wrap",
    [
        lambda row: [row],
        lambda row: {"gen_api_response": row, "gen_api_status": 200},
        lambda row: {"code": 0, "message": "success", "data": [row]},
        lambda row: {"generation": row},
    ],
    ids=["array", "wrapper", "array in an envelope", "generation"],
)
@pytest.mark.parametrize("row", [COMPLETED, ROW], ids=["task", "row"])
def test_a_look_is_read_out_of_what_submissions_are_wrapped_in(wrap: Any, row: Any) -> None:
    """A gateway that answers a submission so may answer a look so as well."""
    assert read_one(wrap(row)) == read_one(row)


def test_a_look_that_names_several_jobs_is_no_answer() -> None:
    """None of them is taken for the one that was asked for."""
    with pytest.raises(ResponseError, match="several jobs"):
        read_one([COMPLETED, {**SUBMITTED, "id": "another"}])


def test_one_bad_row_spoils_no_other() -> None:
    """A row without an id is skipped."""
    assert list(read_many([None, 7, "x", {}, {"id": None}, [], SUBMITTED])) == [ID]


WORDS = {
    State.PENDING: "pending queued submitted not_start throttled",
    State.PROCESSING: "processing in_progress dreaming running generating",
    State.COMPLETED: "completed complete success succeed succeeded finished done",
    State.FAILED: "failed failure fail error expired timeout canceled cancelled rejected",
}


@pytest.mark.parametrize(
    ("word", "state"), [(word, state) for state, words in WORDS.items() for word in words.split()]
)
@pytest.mark.parametrize("name", ["state", "status", "task_status"])
def test_every_state_word_is_known_in_any_case(word: str, state: State, name: str) -> None:
    """The table of states, under each name that a state goes by, however words are joined."""
    joints = ("_", " ", "-", " - ", "")
    for joined in {word.replace("_", joint) for joint in joints} | {f" {word}\n"}:
        for written in (joined, joined.upper(), joined.title()):
            assert read_one({"id": ID, name: written}).state is state


@pytest.mark.parametrize(
    "word", ["inProgress", "InProgress", "IN__PROGRESS", "in\u00a0progress", "In-Progress"]
)
def test_one_word_is_written_in_many_ways(word: str, caplog: pytest.LogCaptureFixture) -> None:
    """None of them is a new word."""
    assert read_one({"id": ID, "state": word}).state is State.PROCESSING
    assert caplog.text == ""


def test_a_new_word_means_still_running_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It neither crashes nor ends a paid job, and one warning says so."""
    dialect = GatewayDialect()
    body = json.dumps({"id": ID, "state": "Marinating"}).encode()

    with caplog.at_level(logging.WARNING, "luma_async"):
        states = {dialect.generation(dialect.get(ID).read(body)).state for _ in range(3)}

    assert states == {State.PROCESSING}
    assert len(caplog.records) == 1
    assert "marinating" in caplog.text


@pytest.mark.parametrize(
    ("row", "inner", "state"),
    [
        ("SUCCESS", {"state": "processing"}, State.COMPLETED),
        ("FAILURE", {"state": "processing"}, State.FAILED),
        ("FAILURE", {"state": "completed", "video": URL}, State.FAILED),
        ("IN_PROGRESS", {"state": "pending"}, State.PROCESSING),
        ("IN_PROGRESS", {"state": "completed", "video": URL}, State.COMPLETED),
        ("IN_PROGRESS", {"state": "completed"}, State.PROCESSING),
        ("IN_PROGRESS", {"state": "failed"}, State.PROCESSING),
        ("SUCCESS", None, State.COMPLETED),
        ("", {"state": "completed"}, State.COMPLETED),
        ("MARINATING", {"state": "failed"}, State.FAILED),
        ("MARINATING", {"state": "pending"}, State.PENDING),
        ("MARINATING", None, State.PROCESSING),
    ],
)
def test_a_row_decides_over_a_stale_inner_task(row: str, inner: Any, state: State) -> None:
    """Only a finished video that the row has not heard of yet is believed against the row."""
    assert read_one({**ROW, "status": row, "data": inner}).state is state


@pytest.mark.parametrize("part", [{"video": URL}, {"state": "failed"}, {"progress": 0.5}], ids=repr)
def test_news_of_the_task_in_a_row_are_news(part: Any) -> None:
    """Also its video, which may come after its completion and before the row is told of that."""
    inner = {"id": ID, "state": "completed", "video": None}
    mark = GatewayDialect().mark

    assert mark({**ROW, "data": inner}) == mark({**ROW, "data": dict(inner)})
    assert mark({**ROW, "data": inner}) != mark({**ROW, "data": {**inner, **part}})


def test_the_rows_reason_stands_in_for_a_missing_one() -> None:
    """`fail_reason` of the row, where the inner task says nothing."""
    row = {**ROW, "status": "FAILURE", "fail_reason": "moderation", "data": None}

    assert read_one(row).failure_reason == "moderation"


LINK = "https://cdn/from-the-reason.mp4"


@pytest.mark.parametrize("name", ["fail_reason", "failure_reason"])
@pytest.mark.parametrize("written", [LINK, f" {LINK}\n", "HTTPS" + LINK[5:], LINK + "?a=b c"])
@pytest.mark.parametrize("inner", [None, {"id": ID, "state": "processing", "video": None}])
def test_a_link_in_the_reason_of_a_success_is_the_video(
    name: str, written: str, inner: Any
) -> None:
    """Some gateways put it there; it says nothing of a failure."""
    row = {"task_id": ID, "status": "SUCCESS", name: written, "data": inner}

    generation = read_one(row)

    assert generation.state is State.COMPLETED
    assert generation.video == Asset(url=written.strip())
    assert generation.failure_reason is None


@pytest.mark.parametrize(
    "part",
    [{"video": URL}, {"video_raw": URL}, {"assets": {"video": URL}}, {"artifact": {"video": URL}}],
    ids=repr,
)
def test_a_link_in_the_reason_is_the_video_only_where_there_is_no_other(part: Any) -> None:
    """The proper places win, and the reason is still none."""
    generation = read_one({"id": ID, "state": "completed", "failure_reason": LINK, **part})

    assert generation.video == Asset(url=URL)
    assert generation.failure_reason is None


@pytest.mark.parametrize("status", ["FAILURE", "IN_PROGRESS"])
def test_a_link_in_the_reason_of_no_success_is_no_video(status: str) -> None:
    """It may lead to an explanation."""
    generation = read_one({**ROW, "status": status, "fail_reason": LINK, "data": None})

    assert generation.video is None
    assert generation.failure_reason == LINK


def test_a_task_that_is_done_with_a_link_in_the_reason_is_ahead_of_its_row() -> None:
    """As with a link in any other place."""
    row = {**ROW, "fail_reason": LINK, "data": {"id": ID, "state": "completed"}}

    assert read_one(row).state is State.COMPLETED


def test_what_is_no_link_stays_the_reason() -> None:
    """Of a success, too; a link beside it is found all the same."""
    inner = {"id": ID, "state": "completed", "failure_reason": "slow, but done"}
    generation = read_one({**ROW, "status": "SUCCESS", "fail_reason": LINK, "data": inner})

    assert generation.failure_reason == "slow, but done"
    assert generation.video == Asset(url=LINK)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-12-24T18:01:25.319129Z", datetime(2024, 12, 24, 18, 1, 25, 319129, tzinfo=UTC)),
        ("2024-12-24T18:01:25Z", datetime(2024, 12, 24, 18, 1, 25, tzinfo=UTC)),
        ("2024-12-24T18:01:25.1Z", datetime(2024, 12, 24, 18, 1, 25, 100000, tzinfo=UTC)),
        ("2024-12-24T18:01:25.319129456Z", datetime(2024, 12, 24, 18, 1, 25, 319129, tzinfo=UTC)),
        ("2024-12-24T20:01:25+02:00", datetime(2024, 12, 24, 18, 1, 25, tzinfo=UTC)),
        ("2024-12-24T18:01:25.5", datetime(2024, 12, 24, 18, 1, 25, 500000, tzinfo=UTC)),
        ("2024-12-24 18:01:25", datetime(2024, 12, 24, 18, 1, 25, tzinfo=UTC)),
        (1734878919, datetime(2024, 12, 22, 14, 48, 39, tzinfo=UTC)),
        (1734878919000, datetime(2024, 12, 22, 14, 48, 39, tzinfo=UTC)),
        ("1734878919", datetime(2024, 12, 22, 14, 48, 39, tzinfo=UTC)),
        (1734878919.5, datetime(2024, 12, 22, 14, 48, 39, 500000, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        (0, None),
        (-5, None),
        (10**30, None),
        ("", None),
        ("yesterday", None),
        (None, None),
        (True, None),
        ([], None),
    ],
    ids=repr,
)
def test_every_way_to_write_a_time_is_read(value: Any, moment: datetime | None) -> None:
    """RFC 3339 with and without fractions and zone, epoch seconds and milliseconds, no time."""
    assert read_one({**SUBMITTED, "created_at": value}).created_at == moment


@pytest.mark.parametrize(
    ("parts", "video"),
    [
        ({"video": None}, None),
        ({}, None),
        ({"video": URL}, Asset(url=URL)),
        ({"video": {"url": URL}}, Asset(url=URL)),
        ({"video": {"download_url": URL}}, Asset(download_url=URL)),
        ({"video": {"width": 640}}, None),
        ({"video": {"url": URL, "width": "640", "height": None}}, Asset(url=URL, width=640)),
        ({"artifact": {"video": {"url": URL}}}, Asset(url=URL)),
        ({"artifact": {"video": URL}, "video": None}, Asset(url=URL)),
        ({"video_raw": {"url": URL, "duration": 5}}, Asset(url=URL, duration=5.0)),
        ({"artifact": {"video_raw": {"url": URL}}}, Asset(url=URL)),
        ({"assets": {"video": URL}}, Asset(url=URL)),
        (
            {"video": {"url": URL}, "artifact": {"video": {"url": "x", "width": 640}}},
            Asset(url=URL, width=640),
        ),
        ({"video": {"url": "", "width": 1}}, None),
        ({"video": 7, "artifact": "x", "assets": []}, None),
    ],
    ids=repr,
)
def test_the_video_is_found_wherever_it_is(parts: dict[str, Any], video: Asset | None) -> None:
    """Null, an object, a bare URL, parts missing; here, in the artifact, raw or in the assets."""
    assert read_one({"id": ID, "state": "completed", **parts}).video == video


@pytest.mark.parametrize(
    "parts",
    [
        {"thumbnail": "https://t"},
        {"thumbnail": {"url": "https://t"}},
        {"artifact": {"thumbnail": {"url": "https://t"}}},
        {"video": {"url": URL, "thumbnail": "https://t"}},
        {"video": {"url": URL, "thumbnail": {"url": "https://t"}}},
    ],
    ids=repr,
)
def test_the_thumbnail_is_found_wherever_it_is(parts: dict[str, Any]) -> None:
    """An object or a plain string, beside the video or within."""
    assert read_one({"id": ID, "state": "completed", **parts}).thumbnail == Asset(url="https://t")


@pytest.mark.parametrize(
    ("ids", "id"),
    [
        ({"id": "a"}, "a"),
        ({"task_id": "a"}, "a"),
        ({"taskId": "a"}, "a"),
        ({"id": 7, "task_id": "a"}, "a"),
        ({"id": 7}, "7"),
        ({"id": 1849302847362839553}, "1849302847362839553"),
        ({"code": 0, "message": "", "id": "a"}, "a"),
        ({"code": "busy", "message": "", "task_id": "a"}, "a"),
        ({"code": "busy", "message": "", "data": {"task_id": "a"}}, "a"),
        ({"id": 7, "data": {"id": "a"}}, "7"),
        ({"status": "SUCCESS", "data": {"id": "a"}}, "a"),
    ],
    ids=repr,
)
def test_ids_go_by_several_names(ids: dict[str, Any], id: str) -> None:
    """`id`, `task_id` or `taskId`; text before numbers."""
    assert read_one(ids).id == id


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        ("40%", 0.4),
        ("100%", 1.0),
        ("0%", 0.0),
        ("12.5 %", 0.125),
        (40, 0.4),
        (0.4, 0.4),
        (1, 0.01),
        (1.0, 1.0),
        (100, 1.0),
        ("0.5", 0.5),
        ("0.5%", 0.005),
        ("250%", 1.0),
        (-3, 0.0),
        ("soon", None),
        (None, None),
        (float("nan"), None),
        ("", None),
    ],
)
def test_progress_is_a_fraction(progress: Any, fraction: float | None) -> None:
    """Written as a percentage or a number, it comes out from 0 to 1."""
    assert read_one({**ROW, "progress": progress}).progress == fraction


def test_waiting_is_told() -> None:
    """The server's own estimate and queue state are passed on."""
    generation = read_one({**SUBMITTED, "queue_state": "throttled", "estimate_wait_seconds": 90})

    assert (generation.queue_state, generation.estimate_wait_seconds) == ("throttled", 90.0)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        None,
        7,
        "text",
        {"id": None},
        {"id": ""},
        {"id": True},
        {"id": -1},
        {"code": 0, "message": "success", "data": None},
        {"code": 0, "message": "success", "data": {}},
        {"code": "quota", "message": "no credit", "data": None},
        {"code": "quota", "message": "no credit", "data": "upstream says no"},
        {"code": 500, "message": "no", "id": "request-1"},
        {"error": {"message": "no"}},
    ],
    ids=repr,
)
def test_an_answer_that_names_no_task_is_no_answer(document: Any) -> None:
    """`ResponseError`, and nothing else."""
    with pytest.raises(ResponseError, match="names no job"):
        read_one(document)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "job-1", "prompt": "cat \\ud83d"}',
        b'{"id": "job-1", "prompt": "cat \xff"}',
        b'\xef\xbb\xbf{"id": "job-1"}',
        b'{"id": "job-1", "prompt": "two\nlines"}',
    ],
    ids=["half a character", "no UTF-8", "byte order mark", "raw line end"],
)
def test_what_is_not_quite_json_is_read_all_the_same(body: bytes) -> None:
    """A job that was paid for is worth more than the letter of the format."""
    dialect = GatewayDialect()

    generation = dialect.generation(dialect.get("job-1").read(body))

    assert generation.id == "job-1"
    (generation.prompt or "").encode()  # what comes out can be written


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    """A page, half an object, no text, nesting without end."""
    for call in (GatewayDialect().get(ID), GatewayDialect().get_many([ID])):
        with pytest.raises(ResponseError):
            call.read(body)


@pytest.mark.parametrize(
    "document",
    [{}, None, {"code": "bad", "message": "no", "data": None}, {"data": {"a": 1}}, {"data": "x"}],
    ids=repr,
)
def test_a_batch_answer_without_a_list_is_no_answer(document: Any) -> None:
    """Jobs are not taken for unknown because an envelope is broken."""
    with pytest.raises(ResponseError, match="lists no jobs"):
        read_many(document)


@pytest.mark.parametrize(
    "document",
    [
        {"url": "https://cdn/x?X-Amz-Expires=3600"},
        {"code": "success", "data": {"url": "https://cdn/x?X-Amz-Expires=3600"}},
        {"code": "success", "data": "https://cdn/x?X-Amz-Expires=3600"},
    ],
)
def test_the_watermark_free_link_is_read(document: Any) -> None:
    """An object with an `url`, or that in an envelope."""
    call = GatewayDialect().watermark_free_url(ID)

    assert call.read(json.dumps(document).encode()) == "https://cdn/x?X-Amz-Expires=3600"


@pytest.mark.parametrize("document", [{}, [], {"url": ""}, {"url": "file:///etc/passwd"}])
def test_what_is_no_link_is_no_answer(document: Any) -> None:
    """Only http(s) links are links."""
    with pytest.raises(ResponseError, match="contains no link"):
        GatewayDialect().watermark_free_url(ID).read(json.dumps(document).encode())
