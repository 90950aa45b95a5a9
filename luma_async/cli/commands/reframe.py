"""`luma-async reframe`: submit a job that gives a video another aspect ratio."""

from __future__ import annotations

from luma_async.cli.option_sets import (
    FieldOptions,
    JobOptions,
    LimitOptions,
    ServerOptions,
    connection_of,
    submit_job,
)
from luma_async.cli.options import (
    AsJSON,
    Journal,
    OptionalPrompt,
    Position,
    Ratio,
    RejectionCodes,
    Resolution,
    VideoSource,
)


def reframe(
    source: VideoSource,
    ratio: Ratio,
    prompt: OptionalPrompt = None,
    *,
    source_position: Position = None,
    resolution: Resolution = None,
    shared: FieldOptions,
    job: JobOptions,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Give a video another aspect ratio, and print the path of the result."""
    submit_job(
        "reframe",
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        source=source,
        fields={
            "aspect_ratio": ratio,
            "prompt": prompt,
            "source_position": source_position,
            "resolution": resolution,
        },
    )
