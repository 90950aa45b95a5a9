"""The table of docs/dialects.md: what each dialect offers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from luma_async import AgentsDialect, DreamMachineDialect, GatewayDialect, UnsupportedError
from luma_async.dialects import Dialect
from luma_async.request_kinds import REQUESTS
from luma_async.requests import Kind

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
DIALECTS: tuple[Dialect, ...] = (GatewayDialect(), AgentsDialect(), DreamMachineDialect())
SOURCE = "https://example.com/source"
NEEDED: dict[Kind, dict[str, Any]] = {
    "generate": {},
    "extend": {},
    "edit": {"strength": "flex_1", "media": f"{SOURCE}.mp4"},
    "reframe": {"aspect_ratio": "1:1", "media": f"{SOURCE}.mp4"},
    "image": {},
    "edit_image": {"media": f"{SOURCE}.png"},
    "layers": {"media": f"{SOURCE}.png"},
}
CASES: dict[str, list[tuple[Kind, dict[str, Any]]]] = {
    "video from text": [("generate", {}), ("generate", {"image": SOURCE, "image_end": SOURCE})],
    "`keyframes`": [
        ("generate", {"keyframes": {0: SOURCE}}),
        ("generate", {"hdr": True}),
        ("generate", {"hdr": True, "exr": True}),
    ],
    "`concepts`": [("generate", {"concepts": ["pan_left"]})],
    "`extend`": [("extend", {}), ("extend", {"backward": True})],
    "`edit`": [("edit", {}), ("reframe", {})],
    "`generate_image`": [("image", {}), ("edit_image", {})],
    "`extract_layers`": [("layers", {})],
    "`expand_prompt`": [("generate", {"expand_prompt": True})],
    "`notify_hook`": [("generate", {"notify_hook": "https://example.com/hook"})],
    "`user_id`": [("generate", {"user_id": "me"})],
}


def offers(dialect: Dialect, kind: Kind, fields: dict[str, Any]) -> bool:
    request = REQUESTS[kind].from_mapping({"prompt": "a cat", **NEEDED[kind], **fields})
    try:
        dialect.check(request, has_source=kind == "extend")
    except UnsupportedError:
        return False
    return True


def cells(beginning: str) -> list[str]:
    """Return the cells of the row of the table that begins with a text."""
    found = re.search(rf"^\| {re.escape(beginning)}.*\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return [cell.strip() for cell in found[0].strip("|").split("|")][1:]


@pytest.mark.parametrize("beginning", CASES)
def test_the_page_tells_which_jobs_a_dialect_offers(beginning: str) -> None:
    """`yes` stands for all of a row, `no` for none, and `yes, no` for the first of two."""
    found = [
        ["yes" if offers(dialect, *case) else "no" for case in CASES[beginning]]
        for dialect in DIALECTS
    ]

    said = [", ".join(dict.fromkeys(each)) for each in found]
    assert said == cells(beginning)


def test_the_page_tells_which_dialects_poll_many_jobs_at_once() -> None:
    """The others look at one job with each request."""
    said = ["yes" if dialect.supports_batch else "no" for dialect in DIALECTS]

    assert said == cells("many jobs in one status request")
