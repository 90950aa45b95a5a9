"""`luma-async generate`: submit a job and download its video."""

from __future__ import annotations

from luma_async.cli.options import (
    AllowPrivateMedia,
    AsJSON,
    AspectRatio,
    BaseURL,
    Duration,
    ExpandPrompt,
    Extra,
    Image,
    ImageEnd,
    JobKey,
    Journal,
    Loop,
    MaxDownloadBytes,
    MinDownloadSpeed,
    Model,
    NoDownload,
    NotifyHook,
    NoWait,
    OutputPath,
    Overwrite,
    Prompt,
    RejectionCodes,
    Resolution,
    RetryFailed,
    RetryUncertain,
    Watermark,
)


def generate(
    prompt: Prompt,
    *,
    aspect_ratio: AspectRatio = None,
    loop: Loop = None,
    image: Image = None,
    image_end: ImageEnd = None,
    model: Model = None,
    resolution: Resolution = None,
    duration: Duration = None,
    expand_prompt: ExpandPrompt = None,
    notify_hook: NotifyHook = None,
    extra: Extra = None,
    key: JobKey = None,
    retry_failed: RetryFailed = False,
    retry_uncertain: RetryUncertain = False,
    no_wait: NoWait = False,
    no_download: NoDownload = False,
    output: OutputPath = None,
    watermark: Watermark = False,
    overwrite: Overwrite = False,
    max_download_bytes: MaxDownloadBytes = None,
    min_download_speed: MinDownloadSpeed = None,
    allow_private_media: AllowPrivateMedia = None,
    base_url: BaseURL = None,
    journal: Journal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Generate a video, and print the path of its file."""
    from luma_async.cli.connection import Connection
    from luma_async.cli.download_limits import DownloadLimits
    from luma_async.cli.program import run
    from luma_async.cli.single_job import SubmitOptions, submit
    from luma_async.cli.target import target_of_submission

    options = SubmitOptions(
        prompt=prompt,
        fields={
            "aspect_ratio": aspect_ratio,
            "loop": loop,
            "image": image,
            "image_end": image_end,
            "model": model,
            "resolution": resolution,
            "duration": duration,
            "expand_prompt": expand_prompt,
            "notify_hook": notify_hook,
        },
        extra=extra,
        key=key,
        retry_failed=retry_failed,
        retry_uncertain=retry_uncertain,
        waits=not no_wait,
        target=target_of_submission(
            output,
            watermark=watermark,
            overwrite=overwrite,
            no_wait=no_wait,
            no_download=no_download,
        ),
    )
    connection = Connection(
        base_url,
        journal,
        rejection_codes=tuple(rejection_code or ()),
        downloads=DownloadLimits(
            max_bytes=max_download_bytes,
            min_speed=min_download_speed,
            allow_private=allow_private_media,
        ),
    )
    run(lambda terminal: submit(terminal, connection, options), as_json=as_json)
