"""Columns of a manifest: names of headings, and cells that a spreadsheet has rewritten."""

from __future__ import annotations

import re
from typing import Any

from luma_async.requests import GenerateRequest

FIELDS = tuple(GenerateRequest.model_fields)
COLUMNS = ("key", "extends", *FIELDS, "metadata")
"""Names of all columns that a manifest can have."""

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
