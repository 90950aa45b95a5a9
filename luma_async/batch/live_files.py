"""Live files: scripts beside the gallery that tell an open page of the rows that changed."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luma_async.batch.cards import Card
from luma_async.batch.gallery import printable
from luma_async.batch.next_steps import Notice
from luma_async.batch.progress import RunningRow, Stage

FOLDER = "gallery-live"
"""Name of the folder of the files, beside the page."""

PART = 250
"""Number of ended rows in a part. It bounds the size of the file that is written again and again:
some 40 kB, together with a hundred running rows."""

HEARTBEAT = 5.0
"""Seconds after which the file is written again even if nothing has changed. A page without news
for fifteen looks takes the batch for killed."""

_NOW = "now"
_NOW_SIZE = 1024
"""Size of `now.js` in bytes. Chromium reads as much of a file as it had before it was opened, so a
replaced file must be as long as the one before."""

_KEPT = 5
"""Number of files of changes that stay, for a page that is about to load one."""

_TEXTS = {
    Stage.SUBMITTING: "Submitting",
    Stage.PENDING: "In the queue",
    Stage.PROCESSING: "Running",
    Stage.DOWNLOADING: "Downloading",
}


class Moment(NamedTuple):
    """State of a batch at one moment, as an open page shows it.

    `phase` is `running`, `stopping`, `ended` or `stopped`; `problem` is the reason of a stop.
    """

    phase: str
    running: Sequence[tuple[int, RunningRow]] = ()
    problem: str | None = None
    notices: Sequence[Notice] = ()


class LiveFiles:
    """Files that the page of a running batch loads.

    `now.js` names the newest file of changes, and is replaced atomically. All others never change:
    `rows-17.js` has the running rows, and the rows that have ended last. Each `PART` of the latter
    become a file of their own: `part-0.js`, `part-1.js` and so on. So a page can be opened at any
    time, and what is written again stays small for any number of rows.

    A page may not read other files if it was opened from a file, but it may load scripts. Each file
    is therefore a call of a function of the page, with JSON in ASCII as its argument.

    All files stay at the end, for pages that are still open. The page that is written then does not
    load them, and the next run removes them.

    Args:
        folder: the folder of the batch.
        run: the id of the run.
        rows: a digest of the rows.

    """

    def __init__(self, folder: Path, *, run: str, rows: str) -> None:
        self.run = run
        self.rows = rows
        self._folder = folder / FOLDER
        self._parts = 0
        self._last: list[str] = []
        """Rows that have ended since the last part, as JSON."""
        self._number = 0
        self._moment: Moment | None = None
        self._has_new = False
        self._written_at = 0.0

    @property
    def ended(self) -> int:
        """Number of rows that have ended."""
        return self._parts * PART + len(self._last)

    def open(self) -> None:
        """Create the folder, and remove the files of an earlier run from it.

        Raises:
            OSError: the folder cannot be used.

        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*-*.js"):
            path.unlink(missing_ok=True)

    def add(self, cards: Iterable[Card]) -> None:
        """Add rows that have ended."""
        for card in cards:
            self._last.append(_json(card.changes()))
            self._has_new = True

    def write(self, moment: Moment) -> None:
        """Write the files, if anything has changed or they are old.

        Raises:
            OSError: a file cannot be written. The next call writes it.

        """
        now = time.monotonic()
        if self._has_new or moment != self._moment:
            self._write_changes(moment)
        elif now < self._written_at + HEARTBEAT:
            return
        head = {
            "run": self.run,
            "rows": self.rows,
            "number": self._number,
            "phase": moment.phase,
            "at": round(time.time() * 1000),
        }
        self._write(_NOW, _json(head).ljust(_NOW_SIZE))
        self._written_at = now

    def _write_changes(self, moment: Moment) -> None:
        while len(self._last) >= PART:
            self._write(f"part-{self._parts}", self._with_ended({}, self._last[:PART]))
            del self._last[:PART]
            self._parts += 1
        fields = {
            "problem": moment.problem,
            "notices": moment.notices,
            "running": [[number, *_running(row)] for number, row in moment.running],
            "from": self._parts * PART,
        }
        self._write(f"rows-{self._number + 1}", self._with_ended(fields, self._last))
        self._number += 1
        self._moment, self._has_new = moment, False
        (self._folder / f"rows-{self._number - _KEPT}.js").unlink(missing_ok=True)

    def _with_ended(self, fields: dict[str, Any], ended: Sequence[str]) -> str:
        head = _json({"run": self.run, **fields})[:-1]
        return head + ',"ended":[\n' + ",\n".join(ended) + "\n]}"

    def _write(self, name: str, argument: str) -> None:
        path = self._folder / f"{name}.js"
        new = path.with_name(f".{path.name}.new")
        new.write_text(f"galleryNews({argument});\n", "ascii", newline="\n")
        os.replace(new, path)  # noqa: PTH105  its name says that the target may exist


def _running(row: RunningRow) -> tuple[str, float | None]:
    text = _TEXTS[row.stage]
    if row.stage is not Stage.PROCESSING or row.progress is None:
        return text, None
    return f"{text}, {row.progress:.0%}", round(row.progress, 3)


_UNSHOWN = re.compile(r"\\(?:[bfr]|u00[0189]|u007f|ud[89a-f])")
"""Pattern of the characters in JSON that the page may have to replace."""


def _json(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    if _UNSHOWN.search(text):  # rare, and going through all values takes longer than the rest
        text = json.dumps(_cleaned(value), separators=(",", ":"))
    return text


def _cleaned(value: Any) -> Any:
    """Replace characters that the page does not show, as the template does."""
    if isinstance(value, dict):
        return {name: _cleaned(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(part) for part in value]
    return printable(value)
