"""Preview of a batch: the rows that a run would submit."""

from __future__ import annotations

import anyio.to_thread

from luma_async.batch import Result, ResultState, Row, read_manifest
from luma_async.batch.plan import is_finished
from luma_async.batch.results_file import NAME, has_file, read_results
from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal


async def preview_batch(terminal: Terminal, options: BatchOptions) -> ExitCode:
    """Print the rows that a run would submit, and change nothing.

    Raises:
        ManifestError: the manifest is not valid.

    """
    manifest = await anyio.to_thread.run_sync(read_manifest, options.manifest)
    found = await anyio.to_thread.run_sync(lambda: list(read_results(options.folder / NAME)))
    results = {result.key: result for result in found}

    def has_ended(row: Row) -> bool:
        result = results.get(row.key)
        return result is not None and is_finished(
            result,
            has_file=has_file(result, options.folder),
            retry_failed=options.retry_failed,
        )

    left = [row for row in manifest.rows if not has_ended(row)]
    for row in left:
        call = "generate" if row.extends is None else f"extend {row.extends}"
        fields = {"key": row.key, "line": row.line, "call": call, "prompt": row.request.prompt}
        terminal.result(f"{row.key}: {call}: {row.request.prompt}", fields)
    limit = options.limit_jobs
    is_limited = limit is not None and limit < len(left)
    limited = f", at most {limit:,} of them as new jobs" if is_limited else ""
    terminal.say(
        f"{len(manifest.rows):,} rows: {len(manifest.rows) - len(left):,} have ended, "
        f"{len(left):,} would be run{limited}."
    )
    _print_uncertain(
        [row for row in left if _is_uncertain(results.get(row.key))], terminal, options
    )
    return ExitCode.DONE


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
