"""`luma-async generate` and `luma-async extend`: one job from its prompt to its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import Follower, state_after
from luma_async.cli.report import Report
from luma_async.cli.target import Output
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import InvalidRequestError, LumaError
from luma_async.requests import ExtendRequest, GenerateRequest
from luma_async.tasks import VideoTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for: a new video, or the next seconds of the job `source_id`.

    `output` is where the file goes, `None` if it is not downloaded.
    """

    prompt: str
    fields: Mapping[str, Any]
    extra: str | None
    source_id: str | None = None
    key: str | None = None
    retry_failed: bool = False
    retry_uncertain: bool = False
    waits: bool = True
    output: Output | None = None

    @property
    def request(self) -> GenerateRequest | ExtendRequest:
        """The request with the fields that were given.

        Raises:
            InvalidRequestError: a field breaks a rule.

        """
        fields = {name: value for name, value in self.fields.items() if value is not None}
        fields |= {"prompt": self.prompt, "extra": _object(self.extra)}
        kind = GenerateRequest if self.source_id is None else ExtendRequest
        return kind.from_mapping(fields)


async def submit(terminal: Terminal, connection: Connection, order: Order) -> ExitCode:
    """Submit a job, see it through, and print where its file is.

    Raises:
        LumaError: it was not submitted.

    """
    request = order.request
    if order.key is not None:
        connection.check_is_no_secret(order.key)
    if order.output is not None and order.waits:
        order.output.check()
    terminal.settle = connection.journal_command("settle")
    terminal.take_up_submission = connection.command("resume", journal=connection.journal)
    async with connection.client_that_submits() as luma:
        with terminal.board(stays=order.waits) as board:
            line = board.add(order.prompt)
            board.move(line, "submitting")
            try:
                task = await _submitted(luma, request, order)
            except LumaError as error:
                board.move(line, state_after(error))
                report = Report(key=order.key, error=error)
            else:
                terminal.take_up_submission = None
                if order.waits:
                    if not task.done:
                        terminal.say(f"The job is {task.id}.")
                    follower = Follower(luma, terminal, board, connection, output=order.output)
                    report = await follower.see_through(task, line)
                else:
                    board.move(line, task.state)
                    report = Report(id=task.id, key=task.key, generation=task.generation)
    if report.error is not None:
        terminal.complain(report.error)
    terminal.result(_plain(report, order), report.fields)
    return _code(report)


def _code(report: Report) -> ExitCode:
    if report.id is not None and report.error is not None:
        return ExitCode.FAILED  # whatever it was, the server had been reached
    return ExitCode.of([report.error])


async def _submitted(
    luma: LumaClient, request: GenerateRequest | ExtendRequest, order: Order
) -> VideoTask:
    if isinstance(request, GenerateRequest):
        return await luma.generate(
            request,
            key=order.key,
            retry_failed=order.retry_failed,
            retry_uncertain=order.retry_uncertain,
        )
    return await luma.extend(
        order.source_id or "",
        request,
        key=order.key,
        retry_failed=order.retry_failed,
        retry_uncertain=order.retry_uncertain,
    )


def _plain(report: Report, order: Order) -> str | Path:
    if report.file is not None:
        return report.file
    if report.error is not None:
        return ""
    return (report.best_link if order.waits else report.id) or ""


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidRequestError.of("extra", f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError.of("extra", """is no JSON object, such as '{"seed": 7}'""")
    return found
