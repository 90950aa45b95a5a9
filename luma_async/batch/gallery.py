"""The gallery of a batch: one page that shows what became of each row, beside its videos."""

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
_PIECES = 1000

_REASONS = {
    ResultState.DONE: "Its path does not lead to a file beside this page.",
    ResultState.NOT_DOWNLOADED: "It is accepted and paid for; its file is not here yet.",
    ResultState.FAILED: "The server made no video of it.",
    ResultState.LOST: "It is paid for, and the server does not know it any more.",
    ResultState.UNCERTAIN: "It may have been accepted and paid for.",
    ResultState.NOT_STARTED: "What it continues has no video.",
}
"""What is said where a result does not say it."""


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
    """Write the gallery into the folder that files are relative to, and return its path.

    Whoever has the old page open or loads it meanwhile sees the old or the new one, whole.

    Args:
        folder: that of the batch, made if need be.
        results: one of each row, in the order in which they are shown.
        title: the heading.
        command: the command line that continues the batch.
        retry: the one that tries failed rows again.
        settle: the one that settles an uncertain row, without the row's key.
        settle_all: the one that frees all uncertain rows; `settle` and `--all --resubmit` if not
            given. It stands at the top of the page.

    Raises:
        OSError: it cannot be written.

    """
    commands = Commands(command, retry, settle, settle_all)
    page = _template().stream(_content(results, title, commands))
    page.enable_buffering(_PIECES)  # and not as one text, which takes 5 kB a row
    target = Path(folder, NAME)
    temporary = target.with_name(f".{NAME}.{uuid.uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            page.dump(file, encoding="utf-8")
        os.replace(temporary, target)  # noqa: PTH105 - the name says that it may be there
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
    """Return the page; see `write`."""
    commands = Commands(command, retry, settle, settle_all)
    return _template().render(_content(results, title, commands))


def _content(results: Iterable[Result], title: str, commands: Commands) -> dict[str, object]:
    """Return what the template asks for."""
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


class _Kin(NamedTuple):
    """A row that another one continues, or that continues it."""

    number: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """What the page shows of a result."""

    number: int
    result: Result
    link: str | None
    reason: str | None
    facts: list[str]
    steps: list[Step]
    parent: _Kin | None
    children: list[_Kin]


def _cards(results: list[Result], commands: Commands) -> Iterator[_Card]:
    keys: dict[str, _Kin] = {}
    ids: dict[str, _Kin] = {}
    for number, result in enumerate(results, 1):
        kin = keys.setdefault(result.key, _Kin(number, result.key))
        if result.id is not None:
            ids.setdefault(result.id, kin)
    parents = [
        None if result.extends is None else keys.get(result.extends) or ids.get(result.extends)
        for result in results
    ]
    children: dict[int, list[_Kin]] = {}
    for number, (result, parent) in enumerate(zip(results, parents, strict=True), 1):
        if parent is not None:
            children.setdefault(parent.number, []).append(_Kin(number, result.key))
    for number, (result, parent) in enumerate(zip(results, parents, strict=True), 1):
        link = _link(result.file) if result.state is ResultState.DONE else None
        yield _Card(
            number=number,
            result=result,
            link=link,
            reason=None if link else result.error or _REASONS[result.state],
            facts=_facts(result),
            steps=steps(_cause(number, results, parents), commands),
            parent=parent,
            children=children.get(number, []),
        )


_FOLLOWED = (ResultState.DONE, ResultState.NOT_DOWNLOADED)
"""Whose row is continued as soon as the batch goes on."""


def _cause(number: int, results: list[Result], parents: list[_Kin | None]) -> Result:
    """Return the result on which it depends whether a row can begin: its own, or an ancestor's."""
    seen: set[int] = set()
    while results[number - 1].state is ResultState.NOT_STARTED and number not in seen:
        seen.add(number)
        parent = parents[number - 1]
        if parent is None or results[parent.number - 1].state in _FOLLOWED:
            break
        number = parent.number
    return results[number - 1]


def _link(file: str | None) -> str | None:
    """Return a path as a relative URL, unless it leads elsewhere."""
    if not file or re.match(r"[a-zA-Z][\w+.-]*:|[/\\]", file) or ".." in re.split(r"[/\\]", file):
        return None
    try:
        # As os.fsdecode() has it: names of files need not be UTF-8.
        return quote(file, errors="surrogateescape")
    except UnicodeEncodeError:
        return None


def _facts(result: Result) -> list[str]:
    facts = []
    if _is_known(result.duration):
        facts.append(f"{result.duration:.1f} s")
    if _is_known(result.took):
        facts.append(f"took {_span(result.took)}")
    return facts


def _is_known(seconds: float | None) -> TypeGuard[float]:
    return seconds is not None and math.isfinite(seconds) and seconds >= 0


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 else "under 1 s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _shape(results: list[Result]) -> Literal["wide", "square", "tall"]:
    """Return the shape of the middle video, which is that of every video's place."""
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
        finalize=_visible,
    )
    environment.filters["digest"] = _digest
    return environment.get_template(NAME)


def _digest(text: str) -> str:
    """Return what a Content-Security-Policy knows an inline script or style by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_CONTROLS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}


def _visible(value: Any) -> Any:
    """Replace what HTML cannot hold or would not show, in every text that is put in."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace("\r\n", "\n").translate(_CONTROLS)
    return value
