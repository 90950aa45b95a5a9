"""Submit one job, follow it to its end, and download its video."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.batch.columns import position
from luma_async.batch.row_images import is_inline
from luma_async.batch.rows import job_id
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import Follower, resume_command, state_after
from luma_async.cli.report import Report
from luma_async.cli.target import DownloadTarget
from luma_async.cli.terminal import Terminal
from luma_async.errors import InvalidRequestError, LumaError
from luma_async.paths import is_file_path
from luma_async.request_kinds import REQUESTS
from luma_async.requests import JobRequest, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """Options of a command that submits a job of a `kind`, and follows it.

    `source` is the job, file or URL that it works on, as typed. Without a `target` the file is not
    downloaded.
    """

    kind: Kind
    fields: Mapping[str, Any]
    source: str | None = None
    key: str | None = None
    retry_failed: bool = False
    retry_uncertain: bool = False
    waits: bool = True
    target: DownloadTarget | None = None

    def request(self) -> tuple[JobRequest, str | None]:
        """Return the request with the given fields, and the id of the job that it works on.

        Raises:
            InvalidRequestError: a field is not valid.

        """
        fields = dict(self.fields)
        for name in {"extra", "controls"} & fields.keys():
            fields[name] = _parse_object(name, fields[name])
        if "source_position" in fields:
            fields["source_position"] = _parse_position(fields["source_position"])
        id, media = _job_or_file(self.kind, self.source)
        if media is not None:
            fields["media"] = media
        return REQUESTS[self.kind].from_mapping(fields), id


async def submit(terminal: Terminal, connection: Connection, options: SubmitOptions) -> ExitCode:
    """Submit a job, follow it to its end, and print the path of its file.

    Raises:
        LumaError: the job cannot be submitted: an option, a setting or the request is not valid.

    """
    request, source = options.request()
    if options.key is not None:
        connection.check_job_key(options.key)
    if options.target is not None and options.waits:
        if options.target.what == "all":
            options.target.check_holds_many("outputs")
        options.target.check()
    connection.server_dialect.check(request, has_source=source is not None)
    terminal.settle_command = connection.journal_command("settle")
    terminal.resume_submission_command = (
        connection.command("resume", journal=connection.journal)
        if options.target is None
        else resume_command(connection, options.target)
    )
    async with connection.client_that_submits() as luma:
        with terminal.board(stays=options.waits) as board:
            line = board.add(request.prompt or options.kind)
            board.set_state(line, "submitting")
            try:
                task = await luma.submit(
                    request,
                    source=source,
                    key=options.key,
                    retry_failed=options.retry_failed,
                    retry_uncertain=options.retry_uncertain,
                )
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


def _plain_result(report: Report, options: SubmitOptions) -> str | Path | Sequence[str]:
    if report.files:
        return report.plain_files
    if report.error is not None:
        return ""
    return (report.best_link if options.waits else report.id) or ""


def _job_or_file(kind: Kind, source: str | None) -> tuple[str | None, str | None]:
    """Return the id of the job that a source names, or the file or URL.

    An extension works on jobs only. For the other kinds, a text with a suffix, or the path of a
    file, is not an id.
    """
    if source is None:
        return None, None
    if (id := job_id(source)) is not None:
        return id, None
    if REQUESTS[kind].source_need == "required":
        return source, None
    is_path = bool(Path(source).suffix) or is_file_path(source)
    return (None, source) if is_path or is_inline(source) else (source, None)


def _parse_position(text: str) -> Mapping[str, float]:
    try:
        return position(text)
    except (ValueError, TypeError) as error:
        raise InvalidRequestError.of("source_position", f"cannot be read: {error}") from None


def _parse_object(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidRequestError.of(name, f"is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError.of(name, """must be a JSON object, such as '{"seed": 7}'""")
    return found
