"""Options and arguments that several commands share.

Help shows them in panels: in one table, the longest names would leave no room for the texts on a
terminal of 80 columns.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer


class RowFormat(StrEnum):
    """Format of the rows of a batch on standard input."""

    CSV = "csv"
    JSONL = "jsonl"
    YAML = "yaml"


class Scope(StrEnum):
    """Scope of a limit on running jobs."""

    CLIENT = "client"
    JOURNAL = "journal"


# Copies of types in luma_async.requests and dialects, journal and media: to import these would take
# longer than a completion may.
RATIOS = (
    *("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21"),
    *("3:2", "2:3", "2:1", "1:2", "3:1", "1:3"),
)
FILES = ("output", "all", "video", "image", "exr", "raw", "thumbnail", "last_frame")
DIALECTS = ("gateway", "agents", "dream-machine")
STRENGTHS = (
    *("adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3"),
    *("reimagine_1", "reimagine_2", "reimagine_3"),
)
STATES = ("submitting", "uncertain", "running", "completed", "failed", "lost")

DEFAULT_MAX_TASKS = 20
DEFAULT_MAX_DOWNLOADS = 4
DEFAULT_DEMO_FOLDER = Path("luma-demo")
DEFAULT_DEMO_SPEED = 10.0

key_option = partial(typer.Option, rich_help_panel="Job key and retries")
download_option = partial(typer.Option, rich_help_panel="Download")
limit_option = partial(typer.Option, rich_help_panel="Limits of downloads")
server_option = partial(typer.Option, rich_help_panel="Server and journal")


def check_not_empty(text: str | None) -> str | None:
    """Return the value of an option. An empty one is mostly a variable that is not set.

    Raises:
        BadParameter: it is empty.

    """
    if text == "":
        raise typer.BadParameter("must not be empty.")
    return text


def complete_ratio(incomplete: str) -> list[str]:
    """Return the aspect ratios that begin with a text."""
    return [ratio for ratio in RATIOS if ratio.startswith(incomplete)]


def complete_dialect(incomplete: str) -> list[str]:
    """Return the names of dialects that begin with a text."""
    return [name for name in DIALECTS if name.startswith(incomplete)]


def complete_strength(incomplete: str) -> list[str]:
    """Return the strengths of an edit that begin with a text."""
    return [strength for strength in STRENGTHS if strength.startswith(incomplete)]


def complete_file(incomplete: str) -> list[str]:
    """Return the names of files that begin with a text."""
    return [name for name in FILES if name.startswith(incomplete)]


def parse_what(text: str) -> str | int:
    """Return the name of a file, or the number of an output.

    Raises:
        BadParameter: the text is neither.

    """
    if text in FILES:
        return text
    if text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    raise typer.BadParameter(
        f"{text!r} is not one of {', '.join(FILES)}, or the number of an output, counted from 0."
    )


def complete_state(incomplete: str) -> list[str]:
    """Return the journal's states that begin with a text."""
    return [state for state in STATES if state.startswith(incomplete)]


JobId = Annotated[str, typer.Argument(metavar="ID", help="Job id.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="Job ids.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print results as JSON, one object per line.")]

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="Description of the video.")]
ImagePrompt = Annotated[str, typer.Argument(metavar="PROMPT", help="Description of the image.")]
OptionalPrompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="Description, if the server needs one.")
]
Ratio = Annotated[
    str,
    typer.Argument(metavar="RATIO", help=", ".join(RATIOS) + ".", autocompletion=complete_ratio),
]
_SOURCE_HELP = "The {noun} to work on: the id of its job, a path or URL, or file-id:ID."
VideoSource = Annotated[
    str, typer.Argument(metavar="SOURCE", help=_SOURCE_HELP.format(noun="video"))
]
ImageSource = Annotated[
    str, typer.Argument(metavar="SOURCE", help=_SOURCE_HELP.format(noun="image"))
]
AspectRatio = Annotated[
    str | None,
    typer.Option(metavar="RATIO", help=", ".join(RATIOS) + ".", autocompletion=complete_ratio),
]
Loop = Annotated[
    bool | None, typer.Option("--loop/--no-loop", help="Make the video loop seamlessly.")
]
Image = Annotated[
    str | None,
    typer.Option(
        metavar="IMAGE",
        help="Image for the first frame: a path or URL, generation:ID for the output of a job, or "
        "file-id:ID.",
    ),
]
ImageEnd = Annotated[
    str | None, typer.Option(metavar="IMAGE", help="Image for the last frame, likewise.")
]
Keyframes = Annotated[
    list[str] | None,
    typer.Option(
        "--keyframe",
        metavar="FRAME=IMAGE",
        help="Image for the frame with this number, such as 48=cat.png. Repeatable.",
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="IMAGE",
        help="Image to take the style or content from: a path, URL, generation:ID or file-id:ID. "
        "Repeatable.",
    ),
]
Hdr = Annotated[
    bool | None, typer.Option("--hdr/--no-hdr", help="Make a video of high dynamic range.")
]
Exr = Annotated[
    bool | None, typer.Option("--exr/--no-exr", help="Deliver OpenEXR files, too; needs --hdr.")
]
Concepts = Annotated[
    list[str] | None,
    typer.Option("--concept", metavar="NAME", help="Concept of the server. Repeatable."),
]
Backward = Annotated[
    bool | None,
    typer.Option("--backward", help="Add before the beginning, and not after the end."),
]
Strength = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How much may change: adhere_1 (little) to adhere_3, flex_1 to flex_3, reimagine_1 "
        "to reimagine_3.",
        autocompletion=complete_strength,
    ),
]
AutoControls = Annotated[
    bool | None,
    typer.Option("--auto-controls/--no-auto-controls", help="Let the server derive the controls."),
]
Controls = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        help="""Signals to keep, in the server's form, such as '{"pose": {"enabled": true}}'.""",
    ),
]
Position = Annotated[
    str | None,
    typer.Option(
        "--source-position",
        metavar="NUMBERS",
        help="Place of the video in the new frame: x, y, width, height, such as '0 0.25 1 0.5'.",
    ),
]
ImageFormat = Annotated[str | None, typer.Option(metavar="NAME", help="Format: png or jpeg.")]
ImageStyle = Annotated[str | None, typer.Option(metavar="NAME", help="Style: auto or manga.")]
WebSearch = Annotated[
    bool | None,
    typer.Option("--web-search/--no-web-search", help="Let the server search the web."),
]
LayerResolution = Annotated[
    str | None, typer.Option("--resolution", metavar="SIZE", help="Size of each layer: 1k or 2k.")
]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Model, such as ray-2, if the server offers a choice."),
]
Resolution = Annotated[str | None, typer.Option(metavar="SIZE", help="Resolution, such as 720p.")]
Duration = Annotated[str | None, typer.Option(metavar="TIME", help="Length, such as 5s.")]
ExpandPrompt = Annotated[
    bool | None,
    typer.Option("--expand-prompt/--no-expand-prompt", help="Let the server improve the prompt."),
]
NotifyHook = Annotated[
    str | None,
    typer.Option(metavar="URL", help="URL for the server to call when the job changes state."),
]
UserId = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Your id of the person for whom the job is, for the server's records."
    ),
]
Extra = Annotated[
    str | None,
    typer.Option(
        metavar="JSON", help="""Further request fields as a JSON object, such as '{"seed": 7}'."""
    ),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Print the job's id and exit without waiting.")
]

JobKey = Annotated[
    str | None,
    key_option(
        "--key",
        metavar="KEY",
        help="Idempotency key: a job with this key is submitted only once.",
    ),
]
RetryFailed = Annotated[
    bool, key_option("--retry-failed", help="Submit again if the job with this --key failed.")
]
RetryUncertain = Annotated[
    bool,
    key_option(
        "--retry-uncertain",
        help="Submit again if it is uncertain that the job was accepted; you may pay twice.",
    ),
]

NoDownload = Annotated[
    bool,
    download_option("--no-download", help="Print the link to the output, do not download it."),
]
OutputPath = Annotated[
    str | None,
    download_option(
        "--output",
        "-o",
        metavar="PATH",
        help="File or folder to write to; a name without a suffix is a folder.",
        show_default="videos/",
        callback=check_not_empty,
    ),
]
_what_option = partial(
    download_option,
    "--what",
    metavar="FILE",
    help=f"File to download: {', '.join(FILES)}, or the number of an output, counted from 0. "
    "`output` is the video, or the first image of a job without one.",
    autocompletion=complete_file,
)
WhatFile = Annotated[str, _what_option()]
WhatFileOfKind = Annotated[str | None, _what_option(show_default="output, or all layers")]
_WATERMARK_HELP = "Download the video with its watermark or, where possible, without one."
Watermark = Annotated[bool, download_option("--watermark/--no-watermark", help=_WATERMARK_HELP)]
WatermarkWithAlias = Annotated[
    bool, download_option("--watermark/--no-watermark", "--watermarked", help=_WATERMARK_HELP)
]
Overwrite = Annotated[bool, download_option("--overwrite", help="Replace an existing file.")]
MaxDownloadBytes = Annotated[
    int | None,
    limit_option(
        "--max-download-bytes",
        metavar="N",
        min=0,
        help="Maximum size of a file, in bytes; 0 for no limit.",
        show_default="LUMA_MAX_DOWNLOAD_BYTES, or 1 GiB",
    ),
]
MinDownloadSpeed = Annotated[
    float | None,
    limit_option(
        "--min-download-speed",
        metavar="N",
        min=0,
        help="Speed in bytes per second, below which a download is retried; 0 for no limit.",
        show_default="LUMA_MIN_DOWNLOAD_SPEED, or 1024",
    ),
]
AllowPrivateMedia = Annotated[
    bool | None,
    limit_option(
        "--allow-private-media",
        help="Allow downloads from private addresses even if the server's address is public.",
        show_default="LUMA_ALLOW_PRIVATE_MEDIA",
    ),
]

BaseURL = Annotated[
    str | None,
    server_option(
        "--base-url", metavar="URL", help="Server's base URL.", show_default="LUMA_BASE_URL"
    ),
]
DialectName = Annotated[
    str | None,
    server_option(
        "--dialect",
        metavar="NAME",
        help=f"Server's API: {', '.join(DIALECTS)}.",
        show_default="LUMA_DIALECT, or by the server and the API key",
        autocompletion=complete_dialect,
    ),
]
_journal_option = partial(
    server_option,
    "--journal",
    metavar="PLACE",
    help="Journal of submitted jobs: a SQLite file, or a postgresql:// URL.",
)
Journal = Annotated[
    str | None, _journal_option(show_default="LUMA_JOURNAL, or a file in your home folder")
]
BatchJournal = Annotated[str | None, _journal_option(show_default="jobs.db in the output folder")]
RejectionCodes = Annotated[
    list[str] | None,
    server_option(
        "--rejection-code",
        metavar="CODE",
        help="Error code that this server returns only if it rejected the job. Repeatable.",
        show_default="LUMA_REJECTION_CODES",
    ),
]
