"""Job log: the lines about jobs, from the choice of their server to their end.

No function here raises an error. A filter or a record factory of the caller's may do so, and must
not come between a job that is paid for and its handle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from luma_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    LumaError,
    TaskForgottenError,
    TaskTimeoutError,
)
from luma_async.generation import State
from luma_async.tasks.task import VideoTask
from luma_async.telemetry.semantic_names import log_attributes

logger = logging.getLogger("luma_async")

FIRST_IDS = 20
"""Maximum number of ids in a line about many jobs."""

IDS_PER_LINE = 100
"""Number of ids in each further line, if the log is the only place that has them."""

GENERATED_KEY = "auto-"
"""Beginning of the job keys that the journal generates. The lines leave these out."""

MAX_PROMPT = 60
"""Maximum characters of a prompt in a line."""

MAX_REASON = 300
"""Maximum characters of a server's text in a line."""

_ABOUT_ALL_JOBS = (AuthenticationError, ClientClosedError, ConfigurationError)
"""Errors that end the watching of all jobs, and have one line for all of them."""


def log_dialect(name: str, base_url: str, reason: str) -> None:
    """Log the dialect of a client that was given none, and the reason for it."""
    text = "Using the %s dialect for %s, because %s. The argument `dialect` sets another."
    _write(logging.INFO, text, name, base_url, reason)


def log_useless_webhook(name: str) -> None:
    """Log that the server of a client with a webhook sends no callbacks."""
    text = "The webhook is not used: servers of the %s dialect send no callbacks. Jobs are polled."
    _write(logging.WARNING, text, name)


def log_submitting(verb: str, prompt: str, key: str | None) -> None:
    """Log that a submission begins, with the beginning of its prompt."""
    if logger.isEnabledFor(logging.DEBUG):
        _write(logging.DEBUG, "Submitting a job (%s): %r.", verb, prompt[:MAX_PROMPT], key=key)


def log_submitted(task: VideoTask, kind: str) -> None:
    """Log that a job was accepted."""
    if logger.isEnabledFor(logging.INFO):
        _write(logging.INFO, "Job %s%s was submitted (%s).", task.id, _key(task), kind, task=task)


def log_without_handle(id: str, key: str | None, error: Exception) -> None:
    """Log the id of an accepted job whose handle an internal error keeps from the caller."""
    text = "Job %s was accepted, but an internal error left its caller without a handle."
    _write(logging.ERROR, text, id, id=id, key=key, error=error)


def log_cancelled_submission(prompt: str, key: str | None, task: VideoTask | None) -> None:
    """Log that a submission was cancelled after it had left, with its job if it was accepted."""
    shown = prompt[:MAX_PROMPT]
    if task is None:
        _write(
            logging.WARNING,
            "The submission was cancelled after it had left, and the job may have been "
            "accepted: %r",
            shown,
            key=key,
        )
        return
    if isinstance(task.error, ClientClosedError):
        now = "continues at the server"
    elif task.done():
        now = "is done"
    else:
        now = f"is watched; watch({task.id!r}) returns its handle"
    _write(
        logging.WARNING,
        "The submission was cancelled after it had left, and the job was accepted: %r is job "
        "%s, which %s.",
        *(shown, task.id, now),
        task=task,
    )


def log_cancelled_run(task: VideoTask) -> None:
    """Log that the caller of `run()` was cancelled, who has no handle on the job."""
    _write(
        logging.WARNING,
        "run() was cancelled. Its job %s is %s, and is not lost: watch(%r) returns its handle.",
        *(task.id, task.state, task.id),
        task=task,
    )


def log_watched(task: VideoTask) -> None:
    """Log that a job is watched that was submitted elsewhere or earlier."""
    if logger.isEnabledFor(logging.DEBUG):
        _write(
            logging.DEBUG,
            "Job %s%s is watched; it is %s.",
            *(task.id, _key(task), task.state),
            task=task,
        )


def log_not_watched(task: VideoTask, error: Exception) -> None:
    """Log an internal error that keeps a job from being watched."""
    text = "Job %s%s cannot be watched; watch(%r) tries again."
    _write(logging.ERROR, text, task.id, _key(task), task.id, task=task, error=error)


def log_look(jobs: int, news: Iterable[object] | None, seconds: float) -> None:
    """Log a look at a number of jobs. `news` has a status or an error for each job with news."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    results = list(news or ())
    errors = sum(isinstance(each, LumaError) for each in results)
    told = "it was cut off" if news is None else f"{len(results) - errors} with news"
    failed = f", {errors} failed" if errors else ""
    _write(logging.DEBUG, "Looked at %s in %.3f s: %s%s.", counted(jobs), seconds, told, failed)


def log_end(task: VideoTask, born: float | None, scrub: Callable[[str], str]) -> None:
    """Log the end of a job, or of watching it.

    `born` is the time of its submission on the clock of the event loop, if it is known. `scrub`
    removes the API key from the texts of the server.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    after = _after(born)
    if task.state is State.COMPLETED:
        _write(logging.INFO, "Job %s%s is completed%s.", task.id, _key(task), after, task=task)
        return
    error = task.error
    if isinstance(error, _ABOUT_ALL_JOBS):
        return
    if isinstance(error, TaskForgottenError | TaskTimeoutError):
        _write(logging.INFO, "%s", error, task=task)  # its text has the id
        return
    if task.state is State.FAILED:
        text, said = "Job %s%s failed%s: %s.", task.generation.failure_reason or "no reason given"
    else:
        text, said = "Job %s%s is no longer watched%s: %s.", str(error)
    said = " ".join(scrub(said).split())[:MAX_REASON].rstrip(".")
    _write(logging.INFO, text, task.id, _key(task), after, said, task=task)


def log_closed(tasks: Sequence[VideoTask]) -> None:
    """Log the jobs that run on when the client is closed, and how to find them again."""
    journalled = [task.id for task in tasks if task.key is not None]
    others = [task.id for task in tasks if task.key is None]
    if journalled:
        _log_running(
            journalled, "LumaClient.resume(), or `luma-async resume` with the same journal"
        )
    if others:
        _log_running(others, "LumaClient.watch(id), or `luma-async watch ID...`")
        log_further_ids(others)


def _log_running(ids: Sequence[str], how: str) -> None:
    if logger.isEnabledFor(logging.INFO):
        text = "The client was closed with %s running at the server: %s. To watch again: %s."
        _write(logging.INFO, text, counted(len(ids)), shown_ids(ids), how)


def log_further_ids(ids: Sequence[str]) -> None:
    """Log the ids that `shown_ids()` left out, because no journal has them."""
    if logger.isEnabledFor(logging.DEBUG):
        for start in range(FIRST_IDS, len(ids), IDS_PER_LINE):
            shown = ", ".join(ids[start : start + IDS_PER_LINE])
            _write(logging.DEBUG, "Further ids of these jobs: %s.", shown)


def counted(jobs: int) -> str:
    """Return a number of jobs in words."""
    return "1 job" if jobs == 1 else f"{jobs} jobs"


def shown_ids(ids: Sequence[str]) -> str:
    """Return the ids of jobs for a line, the first ones of many.

    >>> shown_ids(["a", "b"])
    'a, b'
    """
    more = len(ids) - FIRST_IDS
    return ", ".join(ids[:FIRST_IDS]) + (f" and {more} more" if more > 0 else "")


def _after(born: float | None) -> str:
    if born is None:
        return ""
    try:
        return f" after {asyncio.get_running_loop().time() - born:.1f} s"
    except RuntimeError:  # forget() was called after the event loop had ended
        return ""


def _key(task: VideoTask) -> str:
    """Return the job key for a line, unless the journal generated it."""
    key = task.key
    return "" if key is None or key.startswith(GENERATED_KEY) else f" ({key!r})"


def _write(
    level: int,
    text: str,
    *arguments: Any,
    task: VideoTask | None = None,
    id: str | None = None,
    key: str | None = None,
    error: Exception | None = None,
) -> None:
    if task is not None:
        id, key = task.id, task.key
    extra: Mapping[str, Any] | None = None
    if id is not None or key is not None:
        extra = log_attributes(id, key)
    with suppress(Exception):
        shown = map(_one_line, arguments)
        logger.log(level, text, *shown, exc_info=error, extra=extra, stacklevel=3)


def _one_line(argument: Any) -> Any:
    """Escape control characters in a text, so that an id of a server cannot forge a line."""
    text = str(argument) if isinstance(argument, LumaError) else argument
    if not isinstance(text, str) or text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
