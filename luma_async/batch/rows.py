"""Row: one job of a manifest, checked."""

from __future__ import annotations

from dataclasses import dataclass

from luma_async.models import ExtendRequest, GenerateRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job of a manifest.

    Attributes:
        key: its name, which no other row has.
        line: where it stands, the first line being 1.
        request: what is asked for.
        asks: a digest of it, which changes when the row does.
        parent: the key of the row whose video it continues.
        source_id: the id of the task whose video it continues, if that is no row.

    """

    key: str
    line: int
    request: GenerateRequest | ExtendRequest
    asks: str
    parent: str | None = None
    source_id: str | None = None

    @property
    def extends(self) -> str | None:
        """What it continues: a row's key or a task's id."""
        return self.parent or self.source_id
