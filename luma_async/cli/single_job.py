"""Submit one job, follow it to its end, and download its video."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import Follower, resume_command, state_after
from luma_async.cli.report import Report
from luma_async.cli.target import DownloadTarget
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import InvalidRequestError, LumaError
from luma_async.requests import ExtendRequest, GenerateRequest
from luma_async.tasks import VideoTask


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """Options of `generate` and, with the id of a job to extend in `source_id`, of `extend`.

    Without a `target` the video is not downloaded.
    """

    prompt: str
    fields: Mapping[str, Any]
    extra: str | None
    source_id: str | None = None
    key: str | None = None
    retry_failed: bool = False
    retry_uncertain: bool = False
    waits: bool = True
    target: DownloadTarget | None = None

    @property
    def request(self) -> GenerateRequest | ExtendRequest:
        """Request with the given fields.

        Raises:
            InvalidRequestError: a field is not valid.

        """
        fields = {name: value for name, value in self.fields.items() if value is not None}
        fields |= {"prompt": self.prompt, "extra": _parse_object(self.extra)}
        kind = GenerateRequest if self.source_id is None else ExtendRequest
        return kind.from_mapping(fields)


async def submit(terminal: Terminal, connection: Connection, options: SubmitOptions) -> ExitCode:
    """Submit a job, follow it to its end, and print the path of its file.

    Raises:
        LumaError: the job cannot be submitted: an option, a setting or the request is not valid.

    """
    request = options.request
    if options.key is not None:
        connection.check_job_key(options.key)
    if options.target is not None and options.waits:
        options.target.check()
    terminal.settle_command = connection.journal_command("settle")
    terminal.resume_submission_command = (
        connection.command("resume", journal=connection.journal)
        if options.target is None
        else resume_command(connection, options.target)
    )
    async with connection.client_that_submits() as luma:
        with terminal.board(stays=options.waits) as board:
            line = board.add(options.prompt)
            board.set_state(line, "submitting")
            try:
                task = await _submit(luma, request, options)
            except LumaError as error:
                board.set_state(line, state_after(error))
                report = Report(key=options.key, error=error)
            else:
                terminal.resume_submission_command = None
                if options.waits:
                    if not task.done():
                        terminal.say(f"Job id: {task.id}")
                    follower = Follower(luma, terminal, board, connection, target=options.target)
                    report = await follower.follow(task, line)
                else:
                    board.set_state(line, task.state)
                    report = Report(id=task.id, key=task.key, generation=task.generation)
    if report.error is not None:
        terminal.print_error(report.error)
    terminal.result(_plain_result(report, options), report.fields)
    return _exit_code(report)


def _exit_code(report: Report) -> ExitCode:
    if report.id is not None and report.error is not None:
        return ExitCode.FAILED  # never UNREACHABLE: the server has accepted the job
    return ExitCode.of([report.error])


async def _submit(
    luma: LumaClient, request: GenerateRequest | ExtendRequest, options: SubmitOptions
) -> VideoTask:
    if isinstance(request, GenerateRequest):
        return await luma.generate(
            request,
            key=options.key,
            retry_failed=options.retry_failed,
            retry_uncertain=options.retry_uncertain,
        )
    return await luma.extend(
        options.source_id or "",
        request,
        key=options.key,
        retry_failed=options.retry_failed,
        retry_uncertain=options.retry_uncertain,
    )


def _plain_result(report: Report, options: SubmitOptions) -> str | Path:
    if report.file is not None:
        return report.file
    if report.error is not None:
        return ""
    return (report.best_link if options.waits else report.id) or ""


def _parse_object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidRequestError.of("extra", f"is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError.of("extra", """must be a JSON object, such as '{"seed": 7}'""")
    return found
