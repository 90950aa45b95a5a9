"""`luma-async image`: submit a job for an image, and download it."""

from __future__ import annotations

from luma_async.cli.option_sets import (
    FieldOptions,
    ImageOptions,
    JobOptions,
    LimitOptions,
    ServerOptions,
    connection_of,
    submit_job,
)
from luma_async.cli.options import AsJSON, ImagePrompt, Journal, RejectionCodes


def image(
    prompt: ImagePrompt,
    *,
    image: ImageOptions,
    shared: FieldOptions,
    job: JobOptions,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Generate an image, and print the path of its file."""
    submit_job(
        "image",
        image,
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        fields={"prompt": prompt},
    )
