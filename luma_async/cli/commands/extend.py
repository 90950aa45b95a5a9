"""`luma-async extend`: submit a job that continues a video, and download the longer one."""

from __future__ import annotations

from luma_async.cli.option_sets import (
    FieldOptions,
    JobOptions,
    LimitOptions,
    ServerOptions,
    VideoOptions,
    connection_of,
    submit_job,
)
from luma_async.cli.options import AsJSON, Backward, JobId, Journal, Prompt, RejectionCodes


def extend(
    id: JobId,
    prompt: Prompt,
    *,
    backward: Backward = None,
    video: VideoOptions,
    shared: FieldOptions,
    job: JobOptions,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Extend the video of a job, and print the path of the longer one."""
    submit_job(
        "extend",
        video,
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        source=id,
        fields={"prompt": prompt, "backward": backward},
    )
