"""`luma-async batch`: generate a video for each row of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luma_async.cli.option_sets import LimitOptions, ServerOptions, connection_of
from luma_async.cli.options import (
    DEFAULT_MAX_DOWNLOADS,
    DEFAULT_MAX_TASKS,
    AsJSON,
    BatchJournal,
    RejectionCodes,
    RowFormat,
    Scope,
    check_not_empty,
)


def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Manifest: a .csv, .xlsx, .jsonl or .yaml file, or - for standard input.",
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Folder for the videos, or a URL such as s3://bucket/folder.",
            show_default="FILE without its suffix",
            callback=check_not_empty,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the journal and the results if --output is a URL.",
            show_default="FILE without its suffix",
            file_okay=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check FILE, and list the rows that would be submitted."),
    ] = False,
    limit_jobs: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Maximum number of jobs to submit and pay for."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Submit rows again that failed before.")
    ] = False,
    retry_uncertain: Annotated[
        bool,
        typer.Option(
            "--retry-uncertain",
            help="Submit rows again that an earlier run left uncertain; you may pay twice.",
        ),
    ] = False,
    redo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Submit this row anew, and pay again; its earlier video is kept. Repeatable.",
        ),
    ] = None,
    redo_edited: Annotated[
        bool,
        typer.Option(
            "--redo-edited",
            help="Submit all rows anew that were edited after their job was submitted.",
        ),
    ] = False,
    format: Annotated[
        RowFormat | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Format of standard input: {', '.join(RowFormat)}.",
            show_default="jsonl if it begins with a brace, else csv",
        ),
    ] = None,
    max_tasks: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of concurrent jobs.")
    ] = DEFAULT_MAX_TASKS,
    max_tasks_scope: Annotated[
        Scope,
        typer.Option(
            metavar="SCOPE",
            help="Jobs that --max-tasks counts: those of this batch (client), or of all programs "
            "with the same journal (journal).",
        ),
    ] = Scope.CLIENT,
    max_downloads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of concurrent downloads.")
    ] = DEFAULT_MAX_DOWNLOADS,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="CLUSTER",
            help="Run the rows on a Dask cluster: local:N for N processes of this machine, or the "
            "address of a scheduler, such as tcp://scheduler:8786.",
            show_default=False,
        ),
    ] = None,
    limits: LimitOptions,
    server: ServerOptions,
    journal: BatchJournal = None,
    rejection_code: RejectionCodes = None,
    as_json: AsJSON = False,
) -> None:
    """Generate a video for each row of a file, and a gallery of them.

    Run the same command again to continue. The journal jobs.db in the output folder records the
    submitted jobs: a row whose job was accepted is not submitted, or paid for, again.

    Columns are prompt, aspect_ratio, image and the other fields of requests, and five more. The
    column key names a row. The column kind holds generate, extend, edit, reframe, image, edit_image
    or layers; generate if it is empty. The column extends holds the key of a row, or the id of a
    job, whose video the row continues. The column source holds that on which another kind of row
    works; it may also hold a path or URL. The column metadata holds a JSON object of yours, which
    is kept with the job and never sent.

    A row that was edited after its job was submitted keeps its video, until --redo submits it anew.
    Until then, the exit code is 1.
    """
    from luma_async.batch.remote_files import is_remote
    from luma_async.cli.batch_options import STDIN, BatchOptions, default_folder
    from luma_async.cli.batch_run import run_batch
    from luma_async.cli.dry_run import preview_batch
    from luma_async.cli.program import run

    url = output if output is not None and is_remote(output) else None
    if url is None and folder is not None:
        raise typer.BadParameter("--folder is for an --output that is a URL.")
    if url is None and output is not None:
        folder = Path(output)
        if folder.is_file():
            raise typer.BadParameter(f"--output {output!r} is a file, not a folder.")
    if manifest == STDIN and folder is None:
        option = "--output FOLDER" if url is None else "--folder FOLDER"
        raise typer.BadParameter(f"Rows from standard input need a folder: {option}.")
    if manifest != STDIN and format is not None:
        raise typer.BadParameter("--format is for rows from standard input; name FILE as -.")
    if cluster is not None and (redo or redo_edited):
        raise typer.BadParameter(
            "--redo and --redo-edited do not work with --cluster; redo rows without it."
        )
    options = BatchOptions(
        manifest=manifest,
        folder=folder or default_folder(manifest),
        output=url,
        max_tasks=max_tasks,
        max_tasks_scope=max_tasks_scope.value,
        max_downloads=max_downloads,
        limit_jobs=limit_jobs,
        retry_failed=retry_failed,
        retry_uncertain=retry_uncertain,
        redo=tuple(redo or ()),
        redo_edited=redo_edited,
        format=format,
        cluster=cluster,
    )
    # The default journal is in the output folder, because in one journal for all batches the keys
    # of two manifests would name the same jobs. LUMA_JOURNAL is ignored: with another value in
    # another shell, the batch would not find its jobs, and pay for them again.
    connection = connection_of(
        server,
        journal or options.default_journal,
        limits=limits,
        rejection_codes=rejection_code,
    )
    if dry_run:
        run(lambda terminal: preview_batch(terminal, connection, options), as_json=as_json)
    run(lambda terminal: run_batch(terminal, connection, options), as_json=as_json)
