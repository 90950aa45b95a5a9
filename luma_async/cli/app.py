"""The commands: what they take. Each of them loads what it needs when it runs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from luma_async.cli.exit_codes import EXPLANATION
from luma_async.cli.options import (
    AllowPrivateMedia,
    AsJSON,
    AspectRatio,
    BaseURL,
    BatchJournal,
    Duration,
    ExpandPrompt,
    Extra,
    Image,
    ImageEnd,
    Journal,
    Key,
    Loop,
    MaxDownloadBytes,
    MinDownloadSpeed,
    Model,
    NoDownload,
    NotifyHook,
    NoWait,
    Overwrite,
    Place,
    Prompt,
    RejectionCodes,
    Resolution,
    RetryFailed,
    RetryUncertain,
    TaskId,
    TaskIds,
    Wanted,
    Watermark,
    Watermarked,
    What,
    complete_state,
)
from luma_async.version import __version__

if TYPE_CHECKING:
    from luma_async.cli.download_limits import DownloadLimits
    from luma_async.cli.target import Output

app = typer.Typer(
    name="luma-async",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"luma-async {__version__}")
        raise typer.Exit


@app.callback(
    epilog="The key comes from LUMA_API_KEY, or from a file .env in this folder; so may "
    "LUMA_BASE_URL, LUMA_JOURNAL, LUMA_REJECTION_CODES, LUMA_MAX_DOWNLOAD_BYTES, "
    f"LUMA_MIN_DOWNLOAD_SPEED and LUMA_ALLOW_PRIVATE_MEDIA. {EXPLANATION}"
)
def luma_async(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """Luma video generation, from a terminal."""


@app.command()
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
    key: Key = None,
    retry_failed: RetryFailed = False,
    retry_uncertain: RetryUncertain = False,
    no_wait: NoWait = False,
    no_download: NoDownload = False,
    output: Place = None,
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
    """Make a video, and print the path of its file."""
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run
    from luma_async.cli.single_job import Order, submit

    order = Order(
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
        output=_output_of_new(
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
        downloads=_limits(max_download_bytes, min_download_speed, allow_private_media),
    )
    run(lambda terminal: submit(terminal, connection, order), as_json=as_json)


@app.command()
def extend(
    task_id: TaskId,
    prompt: Prompt,
    *,
    aspect_ratio: AspectRatio = None,
    image: Image = None,
    image_end: ImageEnd = None,
    model: Model = None,
    resolution: Resolution = None,
    duration: Duration = None,
    expand_prompt: ExpandPrompt = None,
    notify_hook: NotifyHook = None,
    extra: Extra = None,
    key: Key = None,
    retry_failed: RetryFailed = False,
    retry_uncertain: RetryUncertain = False,
    no_wait: NoWait = False,
    no_download: NoDownload = False,
    output: Place = None,
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
    """Add some seconds to a video, and print the path of the longer one."""
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run
    from luma_async.cli.single_job import Order, submit

    order = Order(
        prompt=prompt,
        fields={
            "aspect_ratio": aspect_ratio,
            "image": image,
            "image_end": image_end,
            "model": model,
            "resolution": resolution,
            "duration": duration,
            "expand_prompt": expand_prompt,
            "notify_hook": notify_hook,
        },
        extra=extra,
        source_id=task_id,
        key=key,
        retry_failed=retry_failed,
        retry_uncertain=retry_uncertain,
        waits=not no_wait,
        output=_output_of_new(
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
        downloads=_limits(max_download_bytes, min_download_speed, allow_private_media),
    )
    run(lambda terminal: submit(terminal, connection, order), as_json=as_json)


@app.command()
def get(ids: TaskIds, *, base_url: BaseURL = None, as_json: AsJSON = False) -> None:
    """Look once at each job: its state, its links, why it failed (which is an answer: exit 0)."""
    from luma_async.cli.commands.get import get as work
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run

    run(lambda terminal: work(terminal, Connection(base_url), ids), as_json=as_json)


@app.command()
def watch(
    ids: TaskIds,
    *,
    base_url: BaseURL = None,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Watch jobs until they are done, with a line whenever one is somewhere else."""
    from luma_async.cli.commands.watch import watch as work
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run

    run(lambda terminal: work(terminal, Connection(base_url, journal), ids), as_json=as_json)


@app.command()
def download(
    ids: TaskIds,
    *,
    output: Place = None,
    what: What = Wanted.VIDEO,
    watermark: Watermarked = False,
    overwrite: Overwrite = False,
    max_download_bytes: MaxDownloadBytes = None,
    min_download_speed: MinDownloadSpeed = None,
    allow_private_media: AllowPrivateMedia = None,
    base_url: BaseURL = None,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Download a file of each job, once it is done, and print its path."""
    from luma_async.cli.commands.download import download as work
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run

    wanted = _output(output, what=what, watermark=watermark, overwrite=overwrite)
    limits = _limits(max_download_bytes, min_download_speed, allow_private_media)
    connection = Connection(base_url, journal, downloads=limits)
    run(lambda terminal: work(terminal, connection, ids, wanted), as_json=as_json)


@app.command()
def batch(
    manifest: Annotated[
        Path, typer.Argument(metavar="FILE", help="Rows of prompts: .csv, .xlsx, .jsonl or .yaml.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the videos go.",
            show_default="beside the file, named like it",
            file_okay=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, show what would be submitted.")
    ] = False,
    limit_jobs: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Stop submitting after N paid jobs."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Submit anew what failed before.")
    ] = False,
    retry_uncertain: Annotated[
        bool,
        typer.Option(
            "--retry-uncertain",
            help="Submit once more what an earlier run left uncertain; may pay twice.",
        ),
    ] = False,
    max_tasks: Annotated[int, typer.Option(metavar="N", min=1, help="Jobs at once.")] = 20,
    max_downloads: Annotated[int, typer.Option(metavar="N", min=1, help="Files at once.")] = 4,
    max_download_bytes: MaxDownloadBytes = None,
    min_download_speed: MinDownloadSpeed = None,
    allow_private_media: AllowPrivateMedia = None,
    base_url: BaseURL = None,
    journal: BatchJournal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Make a video of each row of a file, and a gallery of them. Run it again to go on.

    What is paid for is written down in the folder's jobs.db, and is not paid for again there.

    Columns are prompt, aspect_ratio, loop, image, image_end, model, resolution, duration,
    expand_prompt, notify_hook, extra, and two more: key names a row, extends is the key of the row
    (or the id of a task) whose video it continues.
    """
    from luma_async.cli.batch_run import Order, connection_for, folder_of, run_batch, show_plan
    from luma_async.cli.program import run

    order = Order(
        manifest=manifest,
        folder=output or folder_of(manifest),
        max_tasks=max_tasks,
        max_downloads=max_downloads,
        limit_jobs=limit_jobs,
        retry_failed=retry_failed,
        retry_uncertain=retry_uncertain,
    )
    if dry_run:
        run(lambda terminal: show_plan(terminal, order), as_json=as_json)
    connection = connection_for(
        order,
        base_url,
        journal,
        tuple(rejection_code or ()),
        _limits(max_download_bytes, min_download_speed, allow_private_media),
    )
    run(lambda terminal: run_batch(terminal, connection, order), as_json=as_json)


@app.command()
def resume(
    *,
    download: Annotated[
        bool, typer.Option("--download", help="Download their videos, too; so does --output.")
    ] = False,
    output: Place = None,
    watermark: Watermark = False,
    overwrite: Overwrite = False,
    max_download_bytes: MaxDownloadBytes = None,
    min_download_speed: MinDownloadSpeed = None,
    allow_private_media: AllowPrivateMedia = None,
    base_url: BaseURL = None,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Watch all unfinished jobs of the journal until they are done."""
    from luma_async.cli.commands.resume import resume as work
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run

    wanted = (
        _output(output, watermark=watermark, overwrite=overwrite) if download or output else None
    )
    limits = _limits(max_download_bytes, min_download_speed, allow_private_media)
    connection = Connection(base_url, journal, downloads=limits)
    run(lambda terminal: work(terminal, connection, wanted), as_json=as_json)


@app.command()
def jobs(
    *,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help="Only those that stand so; uncertain, for one.",
            autocompletion=complete_state,
        ),
    ] = None,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """List the jobs of the journal."""
    from luma_async.cli.connection import Connection
    from luma_async.cli.job_table import show_jobs
    from luma_async.cli.program import run

    run(lambda terminal: show_jobs(terminal, Connection(journal=journal), state), as_json=as_json)


@app.command()
def settle(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Keys of jobs, as `jobs --state uncertain` has them."),
    ] = None,
    *,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="It was accepted, and this is its task.")
    ] = None,
    resubmit: Annotated[
        bool,
        typer.Option("--resubmit", help="Not accepted: the keys are free to be submitted again."),
    ] = False,
    ids: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Settle what a file lists, or standard input (-): lines KEY ID, CSV key,id, or "
            "the lines of `jobs --json` with the ids filled in.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that are uncertain in the journal.")
    ] = False,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Those whose keys begin so.")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Those submitted longer ago, such as 90s, 30m, 2h, 1d."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be settled, change nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before --all --resubmit and the like.")
    ] = False,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Settle uncertain jobs: accepted or not, as the gateway's list of tasks tells.

    Name the jobs by their keys, in a file (--ids), or choose among all that are uncertain (--all,
    --prefix, --older-than). Either all of them are settled, or none. A job that was accepted after
    all, and is submitted again, is paid for twice.
    """
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run
    from luma_async.cli.settlement import Order
    from luma_async.cli.settlement import settle as work

    order = Order(
        keys=tuple(keys or ()),
        ids=ids,
        every=every,
        prefix=prefix,
        older_than=older_than,
        id=id,
        resubmit=resubmit,
        dry_run=dry_run,
        yes=yes,
    )
    run(lambda terminal: work(terminal, Connection(journal=journal), order), as_json=as_json)


@app.command()
def demo(
    *,
    folder: Annotated[Path, typer.Option(help="Where the videos go.")] = Path("luma-demo"),
    speed: Annotated[
        float, typer.Option(min=0.1, help="How many times faster than real the server works.")
    ] = 10.0,
    as_json: AsJSON = False,
) -> None:
    """Make six videos at once and extend one, against a simulated gateway. No key needed."""
    from luma_async.cli.demo_batch import run_demo
    from luma_async.cli.program import run

    run(lambda terminal: run_demo(terminal, folder, speed=speed), as_json=as_json)


@app.command()
def simulate(
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="A free one if 0.")] = 8765,
    speed: Annotated[
        float, typer.Option(min=0.01, help="How many simulated seconds pass in a real one.")
    ] = 1.0,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="What half of the jobs take less than.")
    ] = 60.0,
    failure_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The part of the jobs that fail.")
    ] = 0.0,
    as_json: AsJSON = False,
) -> None:
    """Run a whole gateway on this machine that bills nobody and makes real MP4s, until Ctrl-C.

    It takes any key, or the one in LUMA_SIMULATOR_KEY only.
    """
    from luma_async.cli.commands.simulate import run_simulator
    from luma_async.cli.program import run

    run(
        lambda terminal: run_simulator(
            terminal,
            host=host,
            port=port,
            speed=speed,
            median=seconds,
            failure_rate=failure_rate,
            api_key=os.environ.get("LUMA_SIMULATOR_KEY") or None,
        ),
        as_json=as_json,
    )


def _limits(
    max_bytes: int | None, min_speed: float | None, allow_private: bool | None
) -> DownloadLimits:
    from luma_async.cli.download_limits import DownloadLimits

    return DownloadLimits(max_bytes=max_bytes, min_speed=min_speed, allow_private=allow_private)


def _output(
    place: str | None,
    *,
    what: Wanted = Wanted.VIDEO,
    watermark: bool,
    overwrite: bool,
) -> Output:
    from luma_async.cli.target import DEFAULT_FOLDER, Output

    return Output(
        place=os.path.expanduser(place or DEFAULT_FOLDER),  # noqa: PTH111  the slash stays
        what=what.value,
        watermark_free=not watermark,
        overwrite=overwrite,
    )


def _output_of_new(
    place: str | None,
    *,
    watermark: bool,
    overwrite: bool,
    no_wait: bool,
    no_download: bool,
) -> Output | None:
    if place is not None and (no_wait or no_download):
        option = "--no-wait" if no_wait else "--no-download"
        _refuse(f"--output and {option} contradict each other: nothing would be saved there.")
    if no_wait or no_download:
        return None
    return _output(place, watermark=watermark, overwrite=overwrite)


def _refuse(why: str) -> NoReturn:
    raise typer.BadParameter(why)
