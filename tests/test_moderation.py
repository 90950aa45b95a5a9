"""A job that failed because of its content has an error of its own."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from luma_async import Generation, GenerationFailedError, ModerationError, State
from luma_async.generation import failure_of
from luma_async.moderation import flagged_in, is_moderation
from luma_async.simulator import Fixed, Simulator
from tests.clients import connect


def failed(reason: str | None = None, code: str | None = None, **raw: Any) -> Generation:
    fields = {"failure_reason": reason, "failure_code": code, "raw": raw}
    return Generation.model_validate({"id": "a", "state": State.FAILED, **fields})


MODERATED = [
    "moderated",
    "Moderation",
    "Content moderated",
    "content_moderated",
    "moderation_blocked",
    "INPUT_MODERATED: the image",
    "Advanced moderation failed",
    "400: prompt not allowed because advanced moderation failed",
    "The prompt was rejected by our moderation system.",
    "The image did not pass content moderation",
    "Prompt was flagged: violence",
    "Your prompt was flagged for violence and hate",
    "Output video has been flagged as unsafe",
    "This request violates our content policy",
    "blocked by the safety filter",
    "content policy violation",
    "NSFW content detected",
    "内容审核未通过",
    "提示词包含敏感词",
]

NOT_MODERATED = [
    None,
    "",
    "The video could not be rendered",
    "400: failed to moderate image",
    "Moderation service timed out",
    "moderation service unavailable",
    "moderation_service_unavailable",
    "unable to moderate the prompt",
    "error 503 from moderation",
    "could not connect to moderation",
    "the prompt is too long",
    "moderate camera motion is not supported",
    "rate limit policy",
    "the job was flagged as stale and dropped",
]


@pytest.mark.parametrize("reason", MODERATED)
def test_reasons_that_speak_of_moderation(reason: str) -> None:
    """Servers without codes say it in their own words."""
    assert is_moderation(None, reason)
    assert isinstance(failure_of(failed(reason)), ModerationError)


@pytest.mark.parametrize("reason", NOT_MODERATED)
def test_other_reasons_are_no_moderation(reason: str | None) -> None:
    """A moderation that did not work rejected nothing: the same prompt may pass next time."""
    assert not is_moderation(None, reason)
    assert type(failure_of(failed(reason))) is GenerationFailedError


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        ("content_moderated", None, ModerationError),
        ("CONTENT_MODERATED", "The picture could not be made", ModerationError),
        ("generation_failed", "content moderated", GenerationFailedError),
    ],
)
def test_a_failure_code_decides_alone(
    code: str, reason: str | None, kind: type[GenerationFailedError]
) -> None:
    """A server with codes has one for moderation, so its reason is not searched."""
    assert type(failure_of(failed(reason, code))) is kind


@pytest.mark.parametrize(
    ("reason", "row", "flagged"),
    [
        ("Prompt was flagged: violence", {}, ("violence",)),
        ("flagged for: violence", {}, ("violence",)),
        ("flagged for violence, hate and self harm.", {}, ("violence", "hate", "self harm")),
        ("Content moderated (categories: sexual, violence)", {}, ("sexual", "violence")),
        ("moderated", {}, ()),
        (None, {}, ()),
        ("no", {"detail": {"flagged": ["violence", " ", 7, "hate", "hate"]}}, ("violence", "hate")),
        ("no", {"moderation": {"categories": {"hate": True, "sexual": False}}}, ("hate",)),
        ("no", {"data": {"failure_details": {"flagged": "violence"}}}, ("violence",)),
        ("no", {"detail": [7], "moderation": None, "data": []}, ()),
    ],
)
def test_flagged_subjects_are_those_that_the_server_names(
    reason: str | None, row: dict[str, Any], flagged: tuple[str, ...]
) -> None:
    """In an object beside the reason, or in the reason."""
    assert flagged_in(reason, row) == flagged
    error = failure_of(failed(reason, "content_moderated", **row))
    assert isinstance(error, ModerationError)
    assert error.flagged == flagged


@pytest.mark.parametrize(
    ("code", "refunded", "text"),
    [
        (
            "content_moderated",
            True,
            "Job a failed: no (code content_moderated); the server refunds it",
        ),
        (
            "generation_failed",
            True,
            "Job a failed: no (code generation_failed); the server refunds it",
        ),
        (
            "output_not_found",
            True,
            "Job a failed: no (code output_not_found); the server refunds it",
        ),
        (
            "budget_exhausted",
            False,
            "Job a failed: no (code budget_exhausted); the server may charge a part of its price",
        ),
        ("corrupt_input", None, "Job a failed: no (code corrupt_input)"),
        (None, None, "Job a failed: no."),
    ],
)
def test_an_error_says_if_the_job_is_refunded(
    code: str | None, refunded: bool | None, text: str
) -> None:
    """The documentation of the Agents API says it for some of its codes."""
    error = failure_of(failed("no.", code))

    assert error.refunded is refunded
    assert str(error) == text
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert (twin.refunded, str(twin)) == (refunded, text)


async def test_every_way_to_a_failed_job_raises_the_same_error(tmp_path: Path) -> None:
    """Awaiting the task, the link, an extension of it, and its job key in a journal."""
    async with (
        Simulator(durations=Fixed(0.1)) as sim,
        connect(sim, journal=tmp_path / "journal.db") as luma,
    ):
        sim.fail_next("Prompt was flagged: violence")
        task = await luma.generate("a cat", key="cat")
        with pytest.raises(ModerationError) as awaited:
            await task
        with pytest.raises(ModerationError):
            _ = task.generation.url
        with pytest.raises(ModerationError):
            await luma.extend(task.generation, "and dances")
        with pytest.raises(ModerationError) as by_key:
            await luma.run("a cat", key="cat")

    assert awaited.value.flagged == by_key.value.flagged == ("violence",)
