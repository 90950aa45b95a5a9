"""Cards: the content of the gallery's card of each row, as the page and its updates show it."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeGuard
from urllib.parse import quote

from luma_async.batch.next_steps import Commands, Step, steps
from luma_async.batch.results import Result, ResultState
from luma_async.batch.rows import Row

WAITING = "waiting"
"""State of a card whose row has not begun."""

RUNNING = "running"
"""State of a card whose row has begun and not ended."""

STATES = (RUNNING, WAITING, *(state.value for state in ResultState))
"""States of cards, in the order of the filter."""

_REASONS = {
    ResultState.DONE: "Its path does not lead to a file beside this page.",
    ResultState.NOT_DOWNLOADED: "It was accepted and is paid for; its file is not here yet.",
    ResultState.FAILED: "The server made nothing of it.",
    ResultState.LOST: "It is paid for, but the server did not find it.",
    ResultState.UNCERTAIN: "It may have been accepted and paid for.",
    ResultState.NOT_STARTED: "The row from which it is made has no output.",
}
"""Texts for results that have no error text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRow:
    """Row without a result.

    `note` says how it is continued if its batch has stopped.
    """

    key: str
    prompt: str
    extends: str | None = None
    note: str | None = None

    @classmethod
    def of(cls, row: Row, *, note: str | None = None) -> WaitingRow:
        """Return the waiting row of a row of a manifest."""
        return cls(key=row.key, prompt=row.request.prompt, extends=row.extends, note=note)


class RowLink(NamedTuple):
    """Link to the card of another row: the one that a row extends, or one that extends it."""

    number: int
    key: str


class EarlierLink(NamedTuple):
    """Link to an earlier video of a row that was redone."""

    link: str
    id: str
    prompt: str | None


class PictureLink(NamedTuple):
    """Link to an image of a row. An image that is a layer has a label."""

    link: str
    label: str | None = None


class FileLink(NamedTuple):
    """Link to a file of a row that the card does not show, such as an EXR file."""

    link: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Content of the card of one row.

    `link` is the URL of its video, or of the first of its `pictures`, which are all images or
    layers of a row without a video. `files` are further files, which the card names only. `reason`
    is the text in place of a video. `has_new_prompt` is `True` if the prompt is not the one that
    the page began with, because the row was redone.
    """

    number: int
    key: str
    prompt: str
    state: str
    extends: str | None
    parent: RowLink | None
    children: Sequence[RowLink]
    id: str | None = None
    link: str | None = None
    pictures: Sequence[PictureLink] = ()
    files: Sequence[FileLink] = ()
    reason: str | None = None
    facts: Sequence[str] = ()
    size: str | None = None
    steps: Sequence[Step] = ()
    earlier: Sequence[EarlierLink] = ()
    has_new_prompt: bool = False

    def changes(self) -> dict[str, Any]:
        """Return the content that changes when the row ends, without the empty parts."""
        parts = {
            "n": self.number,
            "prompt": self.prompt if self.has_new_prompt else None,
            "state": self.state,
            "id": self.id,
            "link": self.link,
            "pictures": self.pictures,
            "files": self.files,
            "reason": self.reason,
            "facts": self.facts,
            "size": self.size,
            "steps": self.steps,
            "earlier": self.earlier,
        }
        return {name: part for name, part in parts.items() if part}


class Cards:
    """Cards of a batch. Their order, and the links between them, are those of the given rows.

    If the files are not beside the page but at another `place`, the cards tell it.
    """

    def __init__(
        self,
        rows: Iterable[Result | WaitingRow],
        commands: Commands,
        *,
        place: str | None = None,
    ) -> None:
        self.rows = list(rows)
        self.commands = commands
        self.place = place
        self._prompts = [row.prompt for row in self.rows]
        keys: dict[str, RowLink] = {}
        ids: dict[str, RowLink] = {}
        for number, row in enumerate(self.rows, 1):
            link = keys.setdefault(row.key, RowLink(number, row.key))
            if isinstance(row, Result) and row.id is not None:
                ids.setdefault(row.id, link)
        self._numbers = keys
        self._parents = [
            None if row.extends is None else keys.get(row.extends) or ids.get(row.extends)
            for row in self.rows
        ]
        self._children: dict[int, list[RowLink]] = {}
        for number, (row, parent) in enumerate(zip(self.rows, self._parents, strict=True), 1):
            if parent is not None:
                self._children.setdefault(parent.number, []).append(RowLink(number, row.key))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Card]:
        return map(self.card, range(1, len(self.rows) + 1))

    @property
    def results(self) -> list[Result]:
        """Results of the rows that have one."""
        return [row for row in self.rows if isinstance(row, Result)]

    def beside_files(self) -> Cards:
        """Return the same cards for a page that is beside the files."""
        cards = copy(self)
        cards.place = None
        return cards

    def number_of(self, key: str) -> int | None:
        """Return the number of the card of a row, or `None` if there is none."""
        link = self._numbers.get(key)
        return None if link is None else link.number

    def card(self, number: int) -> Card:
        """Return the card with this number, counted from 1."""
        row, parent = self.rows[number - 1], self._parents[number - 1]
        new = partial(
            Card,
            number=number,
            key=row.key,
            prompt=row.prompt,
            extends=row.extends,
            parent=parent,
            children=self._children.get(number, []),
        )
        if isinstance(row, WaitingRow):
            return new(state=WAITING, reason=row.note)
        shown = _shown_files(row, self.place) if row.state is ResultState.DONE else _ShownFiles()
        return new(
            state=row.state.value,
            id=row.id,
            link=shown.link,
            pictures=shown.pictures,
            files=shown.files,
            reason=None if shown.link else row.error or shown.reason or _REASONS[row.state],
            facts=_facts(row),
            size=f"{row.width} × {row.height}" if row.width and row.height else None,  # noqa: RUF001
            steps=steps(self._cause(number, row), self.commands),
            earlier=[] if self.place is not None else list(_earlier(row)),
            has_new_prompt=row.prompt != self._prompts[number - 1],
        )

    def _cause(self, number: int, row: Result) -> Result:
        """Return the result that keeps a row from beginning: its own, or that of an ancestor."""
        seen: set[int] = set()
        while row.state is ResultState.NOT_STARTED and number not in seen:
            seen.add(number)
            parent = self._parents[number - 1]
            source = None if parent is None else self.rows[parent.number - 1]
            if parent is None or not isinstance(source, Result) or source.state in _EXTENDABLE:
                break
            number, row = parent.number, source
        return row

    def counts(self) -> list[tuple[str, int]]:
        """Return the number of cards in each state, for all states."""
        counts = Counter(
            row.state.value if isinstance(row, Result) else WAITING for row in self.rows
        )
        return [(state, counts[state]) for state in STATES]

    def shape(self) -> Literal["wide", "square", "tall"]:
        """Return the shape of the median video. All cards have it, so that they form a grid."""
        ratios = [row.width / row.height for row in self.results if row.width and row.height]
        ratio = statistics.median(ratios) if ratios else 16 / 9
        return "wide" if ratio > 1.2 else "tall" if ratio < 0.8 else "square"


_EXTENDABLE = (ResultState.DONE, ResultState.NOT_DOWNLOADED)
"""States of a row whose extensions begin as soon as the batch continues."""


def _relative_url(file: str | None) -> str | None:
    """Return a path as a relative URL; `None` if it leads out of the folder."""
    if not file or re.match(r"[a-zA-Z][\w+.-]*:|[/\\]", file) or ".." in re.split(r"[/\\]", file):
        return None
    try:
        # As os.fsdecode() does: names of files need not be UTF-8.
        return quote(file, errors="surrogateescape")
    except UnicodeEncodeError:
        return None


_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp")
"""Suffixes of images that browsers show."""

_OTHERS = (".exr", ".tiff", ".heic", ".heif")
"""Suffixes of images that browsers do not show."""


class _ShownFiles(NamedTuple):
    link: str | None = None
    pictures: Sequence[PictureLink] = ()
    files: Sequence[FileLink] = ()
    reason: str | None = None


def _shown_files(result: Result, place: str | None) -> _ShownFiles:
    """Return the files of a row, as its card shows them: a video, or else all its pictures."""
    if place is not None and result.file is not None:
        return _ShownFiles(reason=f"Its file is {place}/{result.file}.")
    main = _relative_url(result.file)
    if main is None or result.file is None:
        return _ShownFiles()
    if not result.outputs and not _has_suffix(result.file, _PICTURES + _OTHERS):
        return _ShownFiles(main)
    outputs = [(output.file, output.layer) for output in result.outputs] or [(result.file, None)]
    linked = [(link, file, label) for file, label in outputs if (link := _relative_url(file))]
    has_video = not _has_suffix(result.file, _PICTURES + _OTHERS)
    pictures = [
        PictureLink(link, label)
        for link, file, label in linked
        if not has_video and _has_suffix(file, _PICTURES)
    ]
    shown = {main} if has_video else {picture.link for picture in pictures}
    files = [FileLink(link, _name_of(file)) for link, file, _ in linked if link not in shown]
    if has_video or pictures:
        return _ShownFiles(main if has_video else pictures[0].link, pictures, files)
    if len(files) == 1:
        return _ShownFiles(None, (), files, "Its file is here, but browsers do not show it.")
    return _ShownFiles(None, (), files, "Its files are here, but browsers do not show them.")


def _has_suffix(file: str, suffixes: tuple[str, ...]) -> bool:
    return file.lower().endswith(suffixes)


def _name_of(file: str) -> str:
    return re.split(r"[/\\]", file)[-1]


def _earlier(result: Result) -> Iterator[EarlierLink]:
    for video in result.earlier:
        if (link := _relative_url(video.file)) is not None:
            yield EarlierLink(link, video.id, video.prompt)


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
