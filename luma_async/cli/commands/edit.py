"""`luma-async edit`: submit a job that changes a video, and download the result."""

from __future__ import annotations

from luma_async.cli.option_sets import (
    FieldOptions,
    JobOptions,
    LimitOptions,
    ServerOptions,
    connection_of,
    parse_keyframes,
    submit_job,
)
from luma_async.cli.options import (
    AsJSON,
    AutoControls,
    Controls,
    Exr,
    Hdr,
    Image,
    Journal,
    Keyframes,
    Prompt,
    RejectionCodes,
    Resolution,
    Strength,
    VideoSource,
)


def edit(
    source: VideoSource,
    prompt: Prompt,
    *,
    strength: Strength = None,
    auto_controls: AutoControls = None,
    controls: Controls = None,
    image: Image = None,
    keyframe: Keyframes = None,
    resolution: Resolution = None,
    hdr: Hdr = None,
    exr: Exr = None,
    shared: FieldOptions,
    job: JobOptions,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Change a video by a prompt, and print the path of the result."""
    submit_job(
        "edit",
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        source=source,
        fields={
            "prompt": prompt,
            "strength": strength,
            "auto_controls": auto_controls,
            "controls": controls,
            "image": image,
            "keyframes": parse_keyframes(keyframe),
            "resolution": resolution,
            "hdr": hdr,
            "exr": exr,
        },
    )
