"""Conversion of entries to database rows, and back. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json, to_jsonable_python
from sqlalchemy import RowMapping

from luma_async.generation import Generation, complete_json
from luma_async.journal.journal import End, Entry, EntryState
from luma_async.metadata import NO_METADATA, metadata_text, parsed_metadata
from luma_async.text_values import has_lone_surrogate

Values = dict[str, Any]


def values_of(entry: Entry, owner: str) -> Values:
    """Return the row of an entry that this owner submits or submitted."""
    return {
        "key": entry.key,
        "state": entry.state.value,
        "claim": entry.claim,
        "owner": owner,
        "server": entry.server,
        "source_id": entry.source_id,
        "request": to_json(entry.request).decode(),
        "fingerprint": entry.fingerprint,
        "task_id": entry.id,
        "generation": None if entry.generation is None else _text(entry.generation),
        "reason": entry.reason,
        "earlier_ids": to_json(entry.earlier_ids).decode() if entry.earlier_ids else None,
        "submitted_at": entry.submitted_at.timestamp(),
        "updated_at": entry.updated_at.timestamp(),
        "request_id": entry.request_id,
        "metadata": metadata_text(entry.metadata) if entry.metadata else None,
        "forgotten": 1 if entry.forgotten else None,
        "has_ended": 1 if entry.has_ended else None,
    }


def entry_of(row: RowMapping) -> Entry:
    """Return the entry in a row."""
    generation = row["generation"]
    metadata = row["metadata"]
    return Entry(
        key=row["key"],
        state=EntryState(row["state"]),
        request=from_json(row["request"]),
        source_id=row["source_id"],
        server=row["server"],
        id=row["task_id"],
        generation=Generation.model_validate_json(generation) if generation else None,
        reason=row["reason"],
        earlier_ids=tuple(from_json(row["earlier_ids"] or "[]")),
        submitted_at=_moment(row["submitted_at"]),
        updated_at=_moment(row["updated_at"]),
        fingerprint=row["fingerprint"],
        claim=row["claim"],
        request_id=row["request_id"],
        metadata=parsed_metadata(metadata) if metadata else NO_METADATA,
        forgotten=row["forgotten"] is not None,
        has_ended=row["has_ended"] is not None,
        owner=row["owner"],
    )


def end_values(end: End) -> Values:
    """Return the values to store when a job ends."""
    state = EntryState.LOST if end.generation is None else EntryState(end.generation.state.value)
    return {
        "the_server": end.server,
        "the_id": clean(end.id),
        "new_state": state.value,
        "new_generation": None if end.generation is None else _text(end.generation),
        "new_reason": None if end.reason is None else clean(end.reason),
    }


def line_of(entry: Entry) -> str:
    """Return an entry as a line of JSON."""
    document = {
        "key": entry.key,
        "state": entry.state,
        "id": entry.id,
        "request": entry.request,
        "source_id": entry.source_id,
        "server": entry.server,
        "submitted_at": entry.submitted_at.isoformat(),
        "updated_at": entry.updated_at.isoformat(),
        "reason": entry.reason,
        "request_id": entry.request_id,
        "metadata": entry.metadata,
        "forgotten": entry.forgotten,
        "earlier_ids": entry.earlier_ids,
        "generation": _document(entry.generation) if entry.generation else None,
    }
    line = json.dumps(document, ensure_ascii=False)
    return json.dumps(document) if has_lone_surrogate(line) else line


def _document(generation: Generation) -> dict[str, Any]:
    raw = to_jsonable_python(generation.raw, inf_nan_mode="null")
    return {**generation.model_dump(mode="json"), "raw": raw}


def _text(generation: Generation) -> str:
    try:
        return complete_json(generation).decode()
    except ValueError:  # the raw answer may contain invalid text; the rest is kept without it
        return complete_json(generation.model_copy(update={"raw": {}})).decode()


def clean(text: str) -> str:
    """Return a text without the characters that a database may reject."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def this_moment() -> float:
    """Return the current time with the precision of rows and `datetime`: microseconds."""
    return datetime.now(UTC).timestamp()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def sort_key(row: Mapping[str, Any]) -> str:
    """Return the sort key of a row: writers that keep to one order do not deadlock."""
    return str(row.get("the_key") or row.get("key") or row.get("the_id"))
