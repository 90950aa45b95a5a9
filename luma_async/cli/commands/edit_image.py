"""`luma-async edit-image`: submit a job that changes an image, and download the result."""

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
from luma_async.cli.options import AsJSON, ImagePrompt, ImageSource, Journal, RejectionCodes


def edit_image(
    source: ImageSource,
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
    """Change an image by a prompt, and print the path of the result."""
    submit_job(
        "edit_image",
        image,
        shared,
        job=job,
        connection=connection_of(server, journal, limits=limits, rejection_codes=rejection_code),
        as_json=as_json,
        source=source,
        fields={"prompt": prompt},
    )
