"""Count the functions of `luma_async` that a call passes on its way.

`python -m benchmarks.functions [--list] [WAY...]` prints each way with the number of distinct
functions and of the files that they are in; `--list` prints the functions as well. Each function is
a place that a reader must visit, and costs time.

A function counts if it has a name and was entered, in any thread, after the call was made and
before its result was there; a property counts as well. Frames of comprehensions and generator
expressions do not count, since Python 3.12 has fewer of them than 3.11, and neither do lambdas and
the methods that `dataclasses` generates. The second figure leaves out functions whose body has one
or two lines, because a reader need not visit those.

The simulated gateway runs in another process. Each way has been gone once before it is counted, so
that opening a journal and loading modules are not counted.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import luma_async
from benchmarks.gateway import gateway
from luma_async import FixedSchedule, LumaClient
from luma_async.batch import Batch, read_manifest

PACKAGE = Path(luma_async.__file__).parent

WHOLE_DAY = 86_400.0
"""Seconds that a job takes if it must not end, and a schedule waits if it must not poll."""

JOBS = 100

POLL_EVERY = 0.5
"""Seconds between two polls."""


@contextmanager
def entered() -> Iterator[set[CodeType]]:
    """Collect the functions of the package that are entered in the body."""
    found: set[CodeType] = set()
    prefix = f"{PACKAGE}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(prefix) and code.co_name[0] != "<":
            found.add(code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def poll(url: str) -> set[CodeType]:
    """Count a poll of 100 jobs without news."""
    async with LumaClient("key", base_url=url, schedule=FixedSchedule(POLL_EVERY)) as luma:
        for number in range(JOBS):
            await luma.generate(f"cat {number}")
        await asyncio.sleep(4 * POLL_EVERY)
        with entered() as found:
            await asyncio.sleep(3 * POLL_EVERY)
    return found


async def generate(url: str) -> set[CodeType]:
    """Count `generate()` until its handle, without a journal."""
    async with LumaClient("key", base_url=url, schedule=FixedSchedule(WHOLE_DAY)) as luma:
        await luma.generate("first cat")
        await asyncio.sleep(0.1)
        with entered() as found:
            await luma.generate("cat")
    return found


async def journalled(url: str) -> set[CodeType]:
    """Count `generate()` with a job key and a SQLite journal, until its handle."""
    with tempfile.TemporaryDirectory() as folder:
        async with LumaClient(
            "key",
            base_url=url,
            schedule=FixedSchedule(WHOLE_DAY),
            journal=Path(folder, "jobs.db"),
        ) as luma:
            await luma.generate("first cat", key="first")
            await asyncio.sleep(0.1)
            with entered() as found:
                await luma.generate("cat", key="second")
    return found


async def batch_row(url: str) -> set[CodeType]:
    """Count a batch of one row: submitted, polled, downloaded, and written to its results."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (_manifest(Path(folder, name)) for name in ("first", "second"))
        async with LumaClient(
            "key",
            base_url=url,
            schedule=FixedSchedule(POLL_EVERY),
            journal=Path(folder, "jobs.db"),
        ) as luma:
            async for _ in Batch(luma, read_manifest(first), first.parent).run():
                pass
            batch = Batch(luma, read_manifest(second), second.parent)
            with entered() as found:
                async for _ in batch.run():
                    pass
    return found


def _manifest(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "jobs.csv"
    path.write_text(f"key,prompt\n{folder.name},a cat dances\n", "utf-8")
    return path


WAYS: dict[str, tuple[Callable[[str], Awaitable[set[CodeType]]], float]] = {
    "poll": (poll, WHOLE_DAY),
    "generate": (generate, WHOLE_DAY),
    "journalled": (journalled, WHOLE_DAY),
    "batch-row": (batch_row, 1.0),
}


async def count(way: str) -> set[CodeType]:
    """Return the functions that a way passes."""
    measure, median = WAYS[way]
    with gateway(median=median, sigma=0.01) as server:
        return await measure(server.url)


def longer(functions: Iterable[CodeType]) -> set[CodeType]:
    """Return the functions whose body has more than two lines, docstrings left out."""
    by_file: dict[str, dict[int, int]] = {}
    found = set()
    for code in functions:
        if code.co_filename not in by_file:
            by_file[code.co_filename] = _lengths(Path(code.co_filename).read_text("utf-8"))
        if by_file[code.co_filename][code.co_firstlineno] > 2:
            found.add(code)
    return found


def _lengths(source: str) -> dict[int, int]:
    """Return the number of lines in the body of each function, by the function's first line."""
    lengths = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min(part.lineno for part in (node, *node.decorator_list))
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lengths[first] = sum(len(ast.unparse(part).splitlines()) for part in body)
    return lengths


def main() -> None:
    """Print the figures of the ways that were named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functions", description=__doc__)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--list", action="store_true", help="print the functions as well")
    arguments = parser.parse_args()
    for way in arguments.ways or WAYS:
        found = asyncio.run(count(way))
        counted = longer(found)
        print(f"{way}: {_figure(found)}; longer than two lines: {_figure(counted)}")
        for code in sorted(found, key=lambda code: (code.co_filename, code.co_firstlineno)):
            if arguments.list:
                place = Path(code.co_filename).relative_to(PACKAGE.parent)
                mark = " " if code in counted else "-"
                print(f" {mark} {place}:{code.co_firstlineno} {code.co_qualname}")


def _figure(functions: Collection[CodeType]) -> str:
    return f"{len(functions)} functions in {len({code.co_filename for code in functions})} files"


if __name__ == "__main__":
    main()
