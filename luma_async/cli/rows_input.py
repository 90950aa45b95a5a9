"""Rows of a batch: read them from a file or standard input, and keep the latter for later runs."""

from __future__ import annotations

from functools import partial

import anyio.to_thread

from luma_async.batch import Manifest, read_manifest
from luma_async.batch.manifest import format_of, manifest_of_text
from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.interruption import read_stdin
from luma_async.cli.terminal import Terminal
from luma_async.dialects import Dialect
from luma_async.errors import BatchError


async def read_rows(
    terminal: Terminal, options: BatchOptions, dialect: Dialect
) -> tuple[Manifest, bytes | None]:
    """Return the rows, checked for a dialect, and the content of standard input if it has them.

    Raises:
        ManifestError: the rows cannot be read, or have problems.
        KeyboardInterrupt: the user interrupts the input.

    """
    if not options.from_stdin:
        read = partial(read_manifest, options.manifest, dialect=dialect)
        return await anyio.to_thread.run_sync(read), None
    if terminal.can_ask:
        terminal.say("Reading rows from standard input, until Ctrl-D.")
    data = read_stdin()
    return manifest_of_text(data, format=options.format, dialect=dialect), data


def keep_rows(options: BatchOptions, data: bytes) -> None:
    """Keep the content of standard input in the output folder, for the command that continues.

    Raises:
        BatchError: the file cannot be written.

    """
    path = options.kept_rows(options.format or format_of(data))
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        raise BatchError(
            f"The rows cannot be kept in {path}: {error.strerror or error}. Nothing was submitted."
        ) from None
