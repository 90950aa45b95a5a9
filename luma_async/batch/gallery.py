"""Gallery: an HTML page with the video or the error of each row of a batch."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from luma_async.batch.cards import Cards
from luma_async.batch.next_steps import LIST_JOBS, Commands, SettleAll, notices
from luma_async.batch.results import Result

NAME = "gallery.html"

_BUFFER = 1000
"""Number of template pieces that are written at once. As one text, a row takes 5 kB of memory."""


@dataclass(frozen=True, slots=True)
class LivePage:
    """Settings of a page that loads the files of `LiveFiles`, because its batch runs.

    Attributes:
        run: the id of the run.
        rows: a digest of the rows; files about other rows are for another page.
        applied: number of ended rows that the page shows already.
        part: number of ended rows in a file of them.
        every: milliseconds from one look for updates to the next.
        began: the time when the page was written, for people.
        command: the command line that continues the batch, for the page of a killed one.

    """

    run: str
    rows: str
    applied: int
    part: int
    every: int
    began: str
    command: str


def write(
    folder: str | os.PathLike[str],
    results: Iterable[Result],
    *,
    title: str,
    command: str,
    retry: str | None = None,
    settle: str | None = None,
    settle_all: SettleAll | None = None,
    redo: str | None = None,
    dialect: str | None = None,
    listing: str = LIST_JOBS,
) -> Path:
    """Write the gallery of a batch into its folder, and return the path of the page.

    An earlier page is replaced atomically: a browser loads the old page or the new one.

    Args:
        folder: the folder of the batch. It is created if it does not exist.
        results: the results of the rows, in the order of the page.
        title: the heading.
        command: the command line that continues the batch.
        retry: the command line that also submits failed rows again.
        settle: the command line that settles an uncertain row, without the key of the row.
        settle_all: the command line that frees all uncertain rows, for the top of the page; by
            default `settle` with `--all --resubmit`.
        redo: the command line that submits a row anew, without `--redo` and the key of the row.
            The notes of rows are shown beside it, and not at all without it.
        dialect: the name of the dialect, which tells where lost jobs are found.
        listing: the command line that lists the jobs of the account, for the Dream Machine API.

    Raises:
        OSError: the page cannot be written.

    """
    commands = Commands(command, retry, settle, settle_all, redo, dialect, listing)
    return write_page(folder, Cards(results, commands), title=title)


def write_page(
    folder: str | os.PathLike[str],
    cards: Cards,
    *,
    title: str,
    live: LivePage | None = None,
    left: int = 0,
) -> Path:
    """Write a page with cards atomically, and return its path.

    With `live` it is the page of a running batch; `left` is the number of rows that are still to
    do after a run.

    Raises:
        OSError: the page cannot be written.

    """
    page = _template().stream(_content(cards, title, live, left))
    page.enable_buffering(_BUFFER)
    target = Path(folder, NAME)
    temporary = target.with_name(f".{NAME}.{uuid.uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            page.dump(file, encoding="utf-8")
        os.replace(temporary, target)  # noqa: PTH105  its name says that the target may exist
    finally:
        temporary.unlink(missing_ok=True)
    return target


def render(
    results: Iterable[Result],
    *,
    title: str,
    command: str,
    retry: str | None = None,
    settle: str | None = None,
    settle_all: SettleAll | None = None,
    redo: str | None = None,
    dialect: str | None = None,
    listing: str = LIST_JOBS,
) -> str:
    """Return the page as text. `write` explains the arguments."""
    commands = Commands(command, retry, settle, settle_all, redo, dialect, listing)
    return _template().render(_content(Cards(results, commands), title, None, 0))


def _content(cards: Cards, title: str, live: LivePage | None, left: int) -> dict[str, object]:
    """Return the variables of the template."""
    counts = cards.counts()
    return {
        "title": title,
        "cards": cards,
        "notices": notices(cards.results, cards.commands, left=left),
        "counts": [(state, count) for state, count in counts if count or live is not None],
        "rows": len(cards),
        "shape": cards.shape(),
        "live": live,
    }


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("luma_async.batch", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters["digest"] = _digest
    return environment.get_template(NAME)


def _digest(text: str) -> str:
    """Return the hash of an inline script or style for the Content-Security-Policy."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_CONTROLS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
"""Symbols for control characters, and the replacement character for lone surrogates."""


def printable(value: Any) -> Any:
    """Replace characters that HTML does not allow or show, in each value of the template."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace("\r\n", "\n").translate(_CONTROLS)
    return value
