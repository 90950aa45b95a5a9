"""Columns of a manifest: names of headings, and cells that a spreadsheet has rewritten."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from luma_async.image_sources import is_data_uri, is_url
from luma_async.request_kinds import FIELDS, REQUESTS
from luma_async.requests import Kind

COLUMNS = ("key", "kind", "extends", "source", *FIELDS, "metadata")
"""Names of all columns that a manifest can have."""

BOOLEANS = frozenset(
    ("loop", "expand_prompt", "hdr", "exr", "backward", "auto_controls", "web_search")
)
"""Columns of booleans."""

IMAGES = frozenset(("image", "image_end", "keyframes", "references", "media"))
"""Columns of images."""

JSON_OBJECTS = frozenset(("extra", "controls"))
"""Columns of JSON objects."""

_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"
"""White space and invisible characters. Copied texts often end with one of them."""

_BETWEEN_WORDS = re.compile(rf"[{re.escape(_BLANKS)}_\-\u2010-\u2014]+")

_TRUTH = {
    word.casefold(): is_true
    for is_true, words in {
        # In English; then Excel in German, French, Spanish, Italian, Portuguese, Dutch, Polish,
        # Czech, Swedish, Danish, Norwegian, Finnish, Hungarian, Romanian, Turkish, Russian.
        True: "true yes on 1 WAHR VRAI VERDADERO VERO VERDADEIRO WAAR PRAWDA PRAVDA SANT SAND SANN "
        "TOSI IGAZ ADEVĂRAT DOĞRU ИСТИНА ja oui sí si sì sim",
        False: "false no off 0 FALSCH FAUX FALSO ONWAAR FAŁSZ NEPRAVDA FALSKT FALSK USANN EPÄTOSI "
        "HAMIS FALS YANLIŞ ЛОЖЬ nein non não nee",
    }.items()
    for word in words.split()
}
_TIME = re.compile(
    r"(?P<across>\d{1,2})\s*:\s*(?P<down>\d{1,2})(?::0{1,2}(?:\.0+)?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?",
    re.ASCII,
)
"""An aspect ratio as a time of day: spreadsheets turn `16:9` into `16:09:00` or `4:09 PM`."""

_SIDES = ("x", "y", "width", "height")
_BETWEEN_NUMBERS = re.compile(r"\s*[,;\s]\s*")
_BETWEEN_LINKS = re.compile(r"\s*\n\s*|\s*[,;](?=\s|$|[A-Za-z-]+:)\s*")
"""Separators that cannot be part of a URL or a data URI."""
_COMMAS = re.compile(r"\s*[,;]\s*")

_SPREADSHEET_ERROR = re.compile(
    r"#(?:N/A|NV|(?:NULL|DIV/0|VALUE|REF|NUM|SPILL|CALC|WERT|BEZUG|ZAHL|VALEUR|NOMBRE|VALOR|VALORE"
    r"|RIF|NAME|NOM|NOME)[!?])"
)
"""Error values in English, German, French, Spanish and Italian."""


def trimmed(cell: str) -> str:
    """Return a cell without the blanks and invisible characters around its text."""
    return cell.strip(_BLANKS)


def heading(cell: str) -> str:
    """Return the name of the column that a heading stands for, or the heading if there is none.

    >>> heading("Aspect Ratio")
    'aspect_ratio'
    """
    name = trimmed(cell)
    known = _BETWEEN_WORDS.sub("_", name).lower()
    return known if known in COLUMNS else name


def truth(cell: str) -> bool | None:
    """Return the boolean of a word such as `TRUE` or `WAHR`; `None` if it is not one."""
    return _TRUTH.get(trimmed(cell).casefold())


def ratio(cell: str) -> str:
    """Return an aspect ratio, also if a spreadsheet has turned it into a time of day.

    >>> ratio("16:09:00"), ratio("4:09 PM")
    ('16:9', '16:9')
    """
    time = _TIME.fullmatch(trimmed(cell))
    if time is None:
        return cell
    across = int(time["across"])
    if time["half"]:
        across = across % 12 + 12 * (time["half"] in "Pp")
    return f"{across}:{int(time['down'])}"


def is_spreadsheet_error(cell: Any) -> bool:
    """Return `True` if a cell has the error value of a failed formula, such as `#REF!`."""
    return isinstance(cell, str) and _SPREADSHEET_ERROR.fullmatch(cell) is not None


def kind_of(cell: Any) -> Kind | None:
    """Return the kind of request that a cell names, `None` if there is none of this name.

    >>> kind_of("Edit image")
    'edit_image'
    """
    word = _BETWEEN_WORDS.sub("_", trimmed(cell)).lower() if isinstance(cell, str) else None
    return next((kind for kind in REQUESTS if kind == word), None)


def parts(cell: str) -> list[str]:
    """Return the parts of a cell with a list: JSON, or texts between commas, blanks or new lines.

    Blanks separate only if nothing else does, because names of files may have blanks.

    >>> parts("my cat.png, https://example.com/a,b.png")
    ['my cat.png', 'https://example.com/a,b.png']
    """
    if cell.lstrip().startswith("["):
        found = json.loads(cell)
        if not all(isinstance(each, str) for each in found):
            raise ValueError("each part must be a text")
        return list(found)
    lines = [part for part in _BETWEEN_LINKS.split(cell) if part]
    split = [
        part
        for line in lines
        for part in ([line] if is_url(line) or is_data_uri(line) else _COMMAS.split(line))
    ]
    found = [trimmed(part) for part in (split if len(split) > 1 else cell.split())]
    return [part.rstrip(",;") for part in found if part.rstrip(",;")]


def position(cell: Any) -> Mapping[str, float]:
    """Return the fields of a position from four numbers, or from an object with their names.

    >>> position("0 0.25 1 0.5")
    {'x': 0.0, 'y': 0.25, 'width': 1.0, 'height': 0.5}
    """
    if isinstance(cell, str):
        is_json = cell.lstrip().startswith(("{", "["))
        cell = json.loads(cell) if is_json else _BETWEEN_NUMBERS.split(trimmed(cell))
    if isinstance(cell, Mapping):
        return {str(name): float(number) for name, number in cell.items()}
    if not isinstance(cell, Sequence) or len(cell) != len(_SIDES):
        raise ValueError(f"must be four numbers: {', '.join(_SIDES)}")
    return {name: float(number) for name, number in zip(_SIDES, cell, strict=True)}
