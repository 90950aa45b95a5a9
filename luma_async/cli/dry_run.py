"""Preview of a batch: the rows that a run would submit."""

from __future__ import annotations

import anyio.to_thread

from luma_async.batch import Result, ResultState, Row
from luma_async.batch.cluster_connection import local_workers
from luma_async.batch.notes import is_edited
from luma_async.batch.plan import is_finished
from luma_async.batch.redo import checked_redo
from luma_async.batch.remote_folder import open_output
from luma_async.batch.results_file import NAME, read_results
from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.rows_input import read_rows
from luma_async.cli.terminal import Terminal


async def preview_batch(
    terminal: Terminal, connection: Connection, options: BatchOptions
) -> ExitCode:
    """Print the rows that a run would submit, and change nothing.

    Raises:
        ManifestError: the manifest is not valid, or breaks rules of the server's dialect.
        ConfigurationError: a setting is not valid.

    """
    if options.cluster is not None:
        local_workers(options.cluster)  # raises if it is no name of a cluster
    manifest, _ = await read_rows(terminal, options, connection.server_dialect)
    redo = checked_redo(options.redo, {row.key for row in manifest.rows})
    output = open_output(options.output or str(options.folder), options.folder)
    found = await output.earlier_results()
    found += await anyio.to_thread.run_sync(lambda: list(read_results(options.folder / NAME)))
    results = {result.key: result for result in found}
    with_files = await output.keys_with_files(results.values())

    def is_redone(row: Row) -> bool:
        result = results.get(row.key)
        if result is None or result.state not in _REDOABLE:
            return False
        return row.key in redo or (options.redo_edited and is_edited(row, result))

    def has_ended(row: Row) -> bool:
        result = results.get(row.key)
        if is_redone(row):
            return False
        return result is not None and is_finished(
            result,
            has_file=row.key in with_files,
            retry_failed=options.retry_failed,
        )

    left = [row for row in manifest.rows if not has_ended(row)]
    for row in left:
        call = row.request.kind if row.extends is None else f"{row.request.kind} {row.extends}"
        anew = is_redone(row)
        fields = {"key": row.key, "line": row.line, "call": call, "prompt": row.request.prompt}
        terminal.result(
            f"{row.key}: {call}{', anew' if anew else ''}: {row.request.prompt}",
            {**fields, "redo": anew},
        )
    count, limit = len(manifest.rows), options.limit_jobs
    is_limited = limit is not None and limit < len(left)
    limited = f", at most {limit:,} of them as new jobs" if is_limited else ""
    terminal.say(
        f"{'1 row' if count == 1 else f'{count:,} rows'}: {count - len(left):,} have ended, "
        f"{len(left):,} would be run{limited}."
    )
    if redone := sum(map(is_redone, left)):
        terminal.say(f"Rows among these that would be submitted anew, and paid again: {redone:,}.")
    keys = {row.key for row in left}
    kept = [row for row in manifest.rows if row.key in results and row.key not in keys]
    if edited := sum(is_edited(row, results[row.key]) for row in kept):
        terminal.say(f"Edited rows that keep their video: {edited:,}; --redo-edited redoes them.")
    _print_uncertain(
        [row for row in left if _is_uncertain(results.get(row.key))], terminal, options
    )
    return ExitCode.DONE


_REDOABLE = (
    ResultState.DONE,
    ResultState.NOT_DOWNLOADED,
    ResultState.FAILED,
    ResultState.LOST,
)
"""States of rows that a run would redo, unless their journal says that they are running."""


def _print_uncertain(rows: list[Row], terminal: Terminal, options: BatchOptions) -> None:
    if rows and options.retry_uncertain:
        terminal.warn(
            f"Uncertain rows among these: {len(rows):,}. They would be submitted again, and may "
            "be paid for twice."
        )
    elif rows:
        terminal.say(
            f"Uncertain rows among these: {len(rows):,}. They are not submitted again until they "
            "are settled."
        )


def _is_uncertain(result: Result | None) -> bool:
    return result is not None and result.state is ResultState.UNCERTAIN
