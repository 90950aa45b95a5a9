"""`luma-async layers`: submit a job that takes an image apart into layers."""

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
    ImageSource,
    Journal,
    LayerResolution,
    OptionalPrompt,
    RejectionCodes,
)


def layers(
    source: ImageSource,
    prompt: OptionalPrompt = None,
    *,
    resolution: LayerResolution = None,
    shared: FieldOptions,
    job: JobOptions,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Take an image apart into layers with transparency, and print the paths of their files."""
    submit_job(
        "layers",
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        source=source,
        fields={"prompt": prompt, "resolution": resolution},
    )
