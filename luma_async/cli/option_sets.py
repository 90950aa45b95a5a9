"""Option sets: groups of options that several commands take, as dataclasses.

A parameter of a command whose type is an `OptionSet` stands for the options that are its fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast, get_type_hints

import typer

from luma_async.cli.options import (
    AllowPrivateMedia,
    AspectRatio,
    BaseURL,
    Concepts,
    DialectName,
    Duration,
    ExpandPrompt,
    Exr,
    Extra,
    Hdr,
    Image,
    ImageEnd,
    ImageFormat,
    ImageStyle,
    JobKey,
    MaxDownloadBytes,
    MinDownloadSpeed,
    Model,
    NoDownload,
    NotifyHook,
    NoWait,
    OutputPath,
    Overwrite,
    References,
    Resolution,
    RetryFailed,
    RetryUncertain,
    UserId,
    Watermark,
    WebSearch,
    WhatFileOfKind,
    parse_what,
)

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.media.job_files import What
    from luma_async.requests import Kind


class OptionSet:
    """Base of the option sets."""

    def values(self) -> dict[str, Any]:
        """Return the values of the options by name, without those that were not given."""
        found = {field.name: getattr(self, field.name) for field in fields(cast("Any", self))}
        return {name: value for name, value in found.items() if value not in (None, [])}


def with_option_sets(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes the options of its option sets one by one, as typer reads it."""
    sets: dict[str, type[OptionSet]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, OptionSet):
            sets[parameter.name] = kind
            parameters.extend(_parameters(kind))
        else:
            parameters.append(parameter)

    @wraps(command)
    def wrapped(*args: Any, **arguments: Any) -> None:
        made = {
            name: kind(**{each: arguments.pop(each) for each in _names(kind)})
            for name, kind in sets.items()
        }
        command(*args, **arguments, **made)

    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    return wrapped


def _names(kind: type[OptionSet]) -> list[str]:
    return [field.name for field in fields(cast("Any", kind))]


def _parameters(kind: type[OptionSet]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(cast("Any", kind)):
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )


@dataclass(frozen=True, kw_only=True)
class ServerOptions(OptionSet):
    """Options that name the server."""

    base_url: BaseURL = None
    dialect: DialectName = None


@dataclass(frozen=True, kw_only=True)
class LimitOptions(OptionSet):
    """Options that limit downloads."""

    max_download_bytes: MaxDownloadBytes = None
    min_download_speed: MinDownloadSpeed = None
    allow_private_media: AllowPrivateMedia = None


def connection_of(
    server: ServerOptions,
    journal: str | None = None,
    *,
    limits: LimitOptions | None = None,
    rejection_codes: list[str] | None = None,
) -> Connection:
    """Return the connection that options describe."""
    from luma_async.cli.connection import Connection
    from luma_async.cli.download_limits import DownloadLimits

    return Connection(
        server.base_url,
        journal,
        rejection_codes=tuple(rejection_codes or ()),
        downloads=DownloadLimits.of(limits.values() if limits is not None else {}),
        dialect=server.dialect,
    )


@dataclass(frozen=True, kw_only=True)
class FieldOptions(OptionSet):
    """Options for the fields that requests of all kinds have."""

    model: Model = None
    notify_hook: NotifyHook = None
    user_id: UserId = None
    extra: Extra = None


@dataclass(frozen=True, kw_only=True)
class VideoOptions(OptionSet):
    """Options for the fields of new and extended videos."""

    aspect_ratio: AspectRatio = None
    image: Image = None
    image_end: ImageEnd = None
    resolution: Resolution = None
    duration: Duration = None
    expand_prompt: ExpandPrompt = None
    hdr: Hdr = None
    exr: Exr = None
    concepts: Concepts = None


@dataclass(frozen=True, kw_only=True)
class ImageOptions(OptionSet):
    """Options for the fields of new and edited images."""

    aspect_ratio: AspectRatio = None
    references: References = None
    format: ImageFormat = None
    style: ImageStyle = None
    web_search: WebSearch = None


@dataclass(frozen=True, kw_only=True)
class JobOptions(OptionSet):
    """Options of the commands that submit a job and download its file."""

    no_wait: NoWait = False
    key: JobKey = None
    retry_failed: RetryFailed = False
    retry_uncertain: RetryUncertain = False
    no_download: NoDownload = False
    output: OutputPath = None
    what: WhatFileOfKind = None
    watermark: Watermark = False
    overwrite: Overwrite = False


def submit_job(
    kind: Kind,
    *field_options: OptionSet,
    job: JobOptions,
    connection: Connection,
    as_json: bool,
    source: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Submit a job of a kind with the fields that options give, and follow it to its end.

    `source` is the job, file or URL that it works on, as typed.

    Raises:
        BadParameter: options contradict each other, or one needs another.
        typer.Exit: in all other cases.

    """
    from luma_async.cli.program import run
    from luma_async.cli.single_job import SubmitOptions, submit
    from luma_async.cli.target import target_of_submission

    if job.retry_failed and job.key is None:
        raise typer.BadParameter("--retry-failed needs --key, the job key of the failed job.")
    given = {name: value for name, value in (fields or {}).items() if value is not None}
    for each in field_options:
        given |= each.values()
    by_default = "all" if kind == "layers" else "output"
    target = target_of_submission(
        job.output,
        what=cast("What | Literal['all']", parse_what(job.what or by_default)),
        watermark=job.watermark,
        overwrite=job.overwrite,
        no_wait=job.no_wait,
        no_download=job.no_download,
    )
    options = SubmitOptions(
        kind=kind,
        fields=given,
        source=source,
        key=job.key,
        retry_failed=job.retry_failed,
        retry_uncertain=job.retry_uncertain,
        waits=not job.no_wait,
        target=target,
    )
    run(lambda terminal: submit(terminal, connection, options), as_json=as_json)


def parse_keyframes(words: list[str] | None) -> dict[int, str] | None:
    """Return images by the numbers of their frames, from words such as `48=cat.png`.

    Raises:
        BadParameter: a word has another form, or a frame has two images.

    """
    found: dict[int, str] = {}
    for word in words or ():
        frame, _, image = word.partition("=")
        if not (frame.isascii() and frame.isdigit() and image):
            raise typer.BadParameter(
                f"{word!r} is not a keyframe; write FRAME=IMAGE, such as 48=cat.png."
            )
        if int(frame) in found:
            raise typer.BadParameter(f"Frame {frame} has two images.")
        found[int(frame)] = image
    return found or None
