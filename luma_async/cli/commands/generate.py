"""`luma-async generate`: submit a job and download its video."""

from __future__ import annotations

from luma_async.cli.option_sets import (
    FieldOptions,
    JobOptions,
    LimitOptions,
    ServerOptions,
    VideoOptions,
    connection_of,
    parse_keyframes,
    submit_job,
)
from luma_async.cli.options import AsJSON, Journal, Keyframes, Loop, Prompt, RejectionCodes


def generate(
    prompt: Prompt,
    *,
    video: VideoOptions,
    loop: Loop = None,
    keyframe: Keyframes = None,
    shared: FieldOptions,
    job: JobOptions,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Generate a video, and print the path of its file."""
    submit_job(
        "generate",
        video,
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        fields={"prompt": prompt, "loop": loop, "keyframes": parse_keyframes(keyframe)},
    )
