"""Options: what several commands take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Wanted(StrEnum):
    """Which file of a job."""

    VIDEO = "video"
    RAW = "raw"
    THUMBNAIL = "thumbnail"
    LAST_FRAME = "last_frame"


RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21")
STATES = ("submitting", "uncertain", "running", "completed", "failed", "lost")


def complete_ratio(incomplete: str) -> list[str]:
    """Return the aspect ratios that begin so."""
    return [ratio for ratio in RATIOS if ratio.startswith(incomplete)]


def complete_state(incomplete: str) -> list[str]:
    """Return the states of jobs in a journal that begin so."""
    return [state for state in STATES if state.startswith(incomplete)]


BaseURL = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="The gateway.", show_default="LUMA_BASE_URL"),
]
Journal = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="PLACE",
        help="Where jobs are written down: a path, or a postgresql:// URL.",
        show_default="LUMA_JOURNAL, or a file of yours",
    ),
]
BatchJournal = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="PLACE",
        help="Where it is written down what is paid for: a path, or a postgresql:// URL.",
        show_default="jobs.db in the folder of the videos",
    ),
]
AsJSON = Annotated[
    bool, typer.Option("--json", help="One JSON object per line on stdout, for scripts.")
]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The server's id of the job.")]
TaskIds = Annotated[list[str], typer.Argument(metavar="ID", help="The server's ids of jobs.")]

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What the video shall show.")]
AspectRatio = Annotated[
    str | None,
    typer.Option(metavar="RATIO", help=", ".join(RATIOS) + ".", autocompletion=complete_ratio),
]
Loop = Annotated[
    bool | None, typer.Option("--loop/--no-loop", help="Let the end meet the beginning.")
]
Image = Annotated[str | None, typer.Option(metavar="IMAGE", help="First frame: a path or URL.")]
ImageEnd = Annotated[str | None, typer.Option(metavar="IMAGE", help="Last frame.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Such as ray-v2.")]
Resolution = Annotated[str | None, typer.Option(metavar="SIZE", help="Such as 720p.")]
Duration = Annotated[str | None, typer.Option(metavar="TIME", help="Such as 5s.")]
ExpandPrompt = Annotated[
    bool | None,
    typer.Option("--expand-prompt/--no-expand-prompt", help="Let the server improve the prompt."),
]
NotifyHook = Annotated[
    str | None, typer.Option(metavar="URL", help="What the gateway calls when the job moves.")
]
Extra = Annotated[
    str | None, typer.Option(metavar="JSON", help="""More fields, such as '{"seed": 7}'.""")
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Your name for the job: asked for again under it, it is not paid again.",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Submit anew what failed under this --key.")
]
RetryUncertain = Annotated[
    bool,
    typer.Option(
        "--retry-uncertain", help="Send again what may have been accepted; may pay twice."
    ),
]
RejectionCodes = Annotated[
    list[str] | None,
    typer.Option(
        "--rejection-code",
        metavar="CODE",
        help="An error code that this gateway gives only when it did not accept the job. "
        "Repeatable.",
        show_default="LUMA_REJECTION_CODES",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the job's id, and leave.")]
NoDownload = Annotated[
    bool, typer.Option("--no-download", help="Print the link to the video instead.")
]
Place = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file, or a folder (a name without a suffix is one).",
        show_default="videos/",
    ),
]
What = Annotated[Wanted, typer.Option(help="Which file of the job.")]
_ABOUT_WATERMARKS = "Take the video with a watermark, or prefer the one without."
Watermark = Annotated[bool, typer.Option("--watermark/--no-watermark", help=_ABOUT_WATERMARKS)]
Watermarked = Annotated[
    bool, typer.Option("--watermark/--no-watermark", "--watermarked", help=_ABOUT_WATERMARKS)
]
MaxDownloadBytes = Annotated[
    int | None,
    typer.Option(
        "--max-download-bytes",
        metavar="N",
        min=0,
        help="Size of the largest file that is downloaded; 0 for no bound.",
        show_default="LUMA_MAX_DOWNLOAD_BYTES, or 1 GiB",
    ),
]
MinDownloadSpeed = Annotated[
    float | None,
    typer.Option(
        "--min-download-speed",
        metavar="N",
        min=0.0,
        help="Bytes a second below which a download is tried again; 0 for no bound.",
        show_default="LUMA_MIN_DOWNLOAD_SPEED, or 1024",
    ),
]
AllowPrivateMedia = Annotated[
    bool | None,
    typer.Option(
        "--allow-private-media",
        help="Download from private addresses, too, even if the gateway has a public one.",
        show_default="LUMA_ALLOW_PRIVATE_MEDIA",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]
