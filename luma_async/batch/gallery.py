"""Gallery: an HTML page with the video or the error of each row of a batch."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
import statistics
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from luma_async.batch.next_steps import Commands, Step, settling_steps, steps
from luma_async.batch.results import Result, ResultState

NAME = "gallery.html"

_BUFFER = 1000
"""Number of template pieces that are written at once. As one text, a row takes 5 kB of memory."""

_REASONS = {
    ResultState.DONE: "Its path does not lead to a file beside this page.",
    ResultState.NOT_DOWNLOADED: "It was accepted and is paid for; its file is not here yet.",
    ResultState.FAILED: "The server made no video of it.",
    ResultState.LOST: "It is paid for, but the server did not find it.",
    ResultState.UNCERTAIN: "It may have been accepted and paid for.",
    ResultState.NOT_STARTED: "The row that it extends has no video.",
}
"""Texts for results that have no error text."""


def write(
    folder: str | os.PathLike[str],
    results: Iterable[Result],
    *,
    title: str,
    command: str,
    retry: str | None = None,
    settle: str | None = None,
    settle_all: str | None = None,
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

    Raises:
        OSError: the page cannot be written.

    """
    commands = Commands(command, retry, settle, settle_all)
    page = _template().stream(_content(results, title, commands))
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
    settle_all: str | None = None,
) -> str:
    """Return the page as text. `write` explains the arguments."""
    commands = Commands(command, retry, settle, settle_all)
    return _template().render(_content(results, title, commands))


def _content(results: Iterable[Result], title: str, commands: Commands) -> dict[str, object]:
    """Return the variables of the template."""
    ordered = list(results)
    counts = Counter(result.state for result in ordered)
    return {
        "title": title,
        "cards": _cards(ordered, commands),
        "uncertain": counts[ResultState.UNCERTAIN],
        "settling": settling_steps(ordered, commands),
        "counts": [(state, counts[state]) for state in ResultState if counts[state]],
        "rows": len(ordered),
        "shape": _shape(ordered),
    }


class _RowLink(NamedTuple):
    """Link to the card of another row: the one that a row extends, or one that extends it."""

    number: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """Content of the card of one row.

    `link` is the URL of its video, `reason` the text in place of a video.
    """

    number: int
    result: Result
    link: str | None
    reason: str | None
    facts: list[str]
    steps: list[Step]
    parent: _RowLink | None
    children: list[_RowLink]


def _cards(results: list[Result], commands: Commands) -> Iterator[_Card]:
    keys: dict[str, _RowLink] = {}
    ids: dict[str, _RowLink] = {}
    for number, result in enumerate(results, 1):
        link = keys.setdefault(result.key, _RowLink(number, result.key))
        if result.id is not None:
            ids.setdefault(result.id, link)
    parents = [
        None if result.extends is None else keys.get(result.extends) or ids.get(result.extends)
        for result in results
    ]
    children: dict[int, list[_RowLink]] = {}
    for number, (result, parent) in enumerate(zip(results, parents, strict=True), 1):
        if parent is not None:
            children.setdefault(parent.number, []).append(_RowLink(number, result.key))
    for number, (result, parent) in enumerate(zip(results, parents, strict=True), 1):
        video = _relative_url(result.file) if result.state is ResultState.DONE else None
        yield _Card(
            number=number,
            result=result,
            link=video,
            reason=None if video else result.error or _REASONS[result.state],
            facts=_facts(result),
            steps=steps(_cause(number, results, parents), commands),
            parent=parent,
            children=children.get(number, []),
        )


_EXTENDABLE = (ResultState.DONE, ResultState.NOT_DOWNLOADED)
"""States of a row whose extensions begin as soon as the batch continues."""


def _cause(number: int, results: list[Result], parents: list[_RowLink | None]) -> Result:
    """Return the result that keeps a row from beginning: its own, or that of an ancestor."""
    seen: set[int] = set()
    while results[number - 1].state is ResultState.NOT_STARTED and number not in seen:
        seen.add(number)
        parent = parents[number - 1]
        if parent is None or results[parent.number - 1].state in _EXTENDABLE:
            break
        number = parent.number
    return results[number - 1]


def _relative_url(file: str | None) -> str | None:
    """Return a path as a relative URL; `None` if it leads out of the folder."""
    if not file or re.match(r"[a-zA-Z][\w+.-]*:|[/\\]", file) or ".." in re.split(r"[/\\]", file):
        return None
    try:
        # As os.fsdecode() does: names of files need not be UTF-8.
        return quote(file, errors="surrogateescape")
    except UnicodeEncodeError:
        return None


def _facts(result: Result) -> list[str]:
    facts = []
    if _is_known(result.duration):
        facts.append(f"{result.duration:.1f} s")
    if _is_known(result.took):
        facts.append(f"took {_in_words(result.took)}")
    return facts


def _is_known(seconds: float | None) -> TypeGuard[float]:
    return seconds is not None and math.isfinite(seconds) and seconds >= 0


def _in_words(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 else "under 1 s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _shape(results: list[Result]) -> Literal["wide", "square", "tall"]:
    """Return the shape of the median video. All cards have it, so that they form a grid."""
    ratios = [result.width / result.height for result in results if result.width and result.height]
    ratio = statistics.median(ratios) if ratios else 16 / 9
    return "wide" if ratio > 1.2 else "tall" if ratio < 0.8 else "square"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("luma_async.batch", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
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


def _printable(value: Any) -> Any:
    """Replace characters that HTML does not allow or show, in each value of the template."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace("\r\n", "\n").translate(_CONTROLS)
    return value
