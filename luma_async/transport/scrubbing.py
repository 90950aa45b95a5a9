"""Scrubbing: remove secrets from texts of a server, in all usual forms of escaping. Pure.

The secrets are the API key, and the tokens in the URLs of callbacks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache, cached_property
from html.entities import html5
from itertools import groupby

MASK = "***"

MIN_SECRET = 12
"""Minimum characters of a real API key. A shorter one is a placeholder, and may be part of common
words."""

_MIN_BASE64 = 12
"""Minimum characters of Base64 that identify an API key. Shorter ones may occur by chance."""

_BACKSLASHES = 4
"""Maximum backslashes before an escaped character. JSON within JSON doubles them."""

_BACKSLASH = r"(?:\\|%(?:25)*5[Cc])"
_PERCENT = r"(?:%|\\{1,4}u0025)(?:25)*"
_AMPERSAND = r"(?:&|\\{1,4}u0026|%(?:25)*26)(?:amp(?:;|%(?:25)*3[Bb]))*"
_NUMBER_SIGN = r"(?:#|\\{1,4}u0023|%(?:25)*23)"
_SEMICOLON = r"(?:;|%(?:25)*3[Bb])?"

_CODE_OF_WORD = r"(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])"
"""The hexadecimal code of a letter or a digit."""

_ESCAPED_WORD = (
    (b"\\", re.compile(rf"\\(?:u00(?:{_CODE_OF_WORD}|23)|x{_CODE_OF_WORD})".encode())),
    (b"%", re.compile(rf"%(?:25)*(?:{_CODE_OF_WORD}|5[Cc]|23[xX\d])".encode())),
    (b"#", re.compile(rf"#(?:[xX]0*{_CODE_OF_WORD}|0*(?:[4-9]\d|1[0-2]\d))[;%\\]".encode())),
)
"""Patterns for letters and digits that are escaped without need, maybe within another escape. Each
comes with the byte that is searched first, because this is faster."""


class Scrubber:
    r"""Mask for one API key, and for the tokens of callbacks in texts.

    The API key is found as it is, in Base64, and with any of its characters escaped as in JSON
    (`\/`, `\u002d`), HTML (`&amp;`, `&#45;`, `&#x2d;`) or a URL (`%2D`), also with nested escapes.

    An API key of fewer than `MIN_SECRET` characters is masked in `text()` only, only as a whole
    word, and not in Base64: "k" is kept in "ask", and masked in "the key k", "k-1" and "key=k".

    A token is known by the URL before it, `hook_base`. It is masked in `text()` only.
    """

    def __init__(self, key: str, *, hook_base: str | None = None) -> None:
        self._key = key
        self._hook_base = hook_base
        self._is_long = len(key) >= MIN_SECRET
        self._as_bytes = key.encode()
        words = re.findall(r"[A-Za-z0-9]+", key)
        self._longest_word = max(words, key=len, default="").encode()

    def __repr__(self) -> str:
        return "<Scrubber>"

    def text(self, text: str) -> str:
        """Return a text for users without the API key, and without tokens."""
        if not text:
            return text
        text = self._in_text.sub(MASK, text)
        return text if self._token is None else self._token.sub(rf"\1{MASK}", text)

    def body(self, body: bytes) -> bytes:
        """Return a body for parsers without the API key. Valid JSON remains valid.

        An API key in Base64, or of fewer than `MIN_SECRET` characters, is kept here; texts for
        users pass through `text()` as well.
        """
        if not self._is_long:
            return body
        if not self._may_be_in(body):
            return body
        if self._as_bytes in body:
            body = self._as_it_is.sub(_masked, body)
        return self._in_body.sub(_masked, body) if self._may_be_in(body) else body

    def _may_be_in(self, body: bytes) -> bool:
        """Return `False` if the body certainly does not contain the API key. Fast for megabytes."""
        if self._longest_word in body:
            return True
        for sign, escape in _ESCAPED_WORD:  # noqa: SIM110  any() takes three times as long for a short body
            if sign in body and escape.search(body):
                return True
        return False

    @cached_property
    def _in_text(self) -> re.Pattern[str]:
        if not self._is_long:
            return re.compile(rf"(?<![^\W_]){_escapable(self._key)}(?![^\W_])")
        return re.compile(
            "|".join([_escapable(self._key), *map(_escapable, _in_base64(self._key))])
        )

    @cached_property
    def _token(self) -> re.Pattern[str] | None:
        """Pattern for a token: group 1 is the URL before it, without the scheme."""
        if self._hook_base is None:
            return None
        place = self._hook_base.partition("//")[2]
        return re.compile(rf"({_escapable(f'{place}/')})[\w-]+")

    @cached_property
    def _in_body(self) -> re.Pattern[bytes]:
        return re.compile(_escapable(self._key).encode())

    @cached_property
    def _as_it_is(self) -> re.Pattern[bytes]:
        return re.compile(re.escape(self._as_bytes))


def _masked(match: re.Match[bytes]) -> bytes:
    r"""Return the mask for a match, preceded by as much of the match as keeps JSON valid.

    With an odd number of backslashes before the match, its first characters belong to an escape
    (`\n`, `\u0041`), and must be kept.
    """
    found = match[0]
    before = match.string[max(match.start() - 64, 0) : match.start()]
    kept = b""
    if (len(before) - len(before.rstrip(b"\\"))) % 2:
        kept = found[: 5 if found[:1] == b"u" else 1]
    return kept + MASK.encode()


def _escapable(text: str) -> str:
    """Return a pattern for a text in which any character may be escaped."""
    parts = []
    for character, run in groupby(text):
        count = len(list(run))
        if character == "\\":  # one loop for all of them: nested loops would backtrack for ever
            parts.append(rf"(?:{_character(character)}){{{count},{_BACKSLASHES * count}}}")
        else:
            parts += [_character(character)] * count
    return "".join(parts)


@cache
def _character(character: str) -> str:
    """Return a pattern for a character, as it is or escaped. The longest form comes first."""
    code = ord(character)
    digits = (f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:02x}")
    number = "".join(digits)
    forms = [
        rf"{_PERCENT}{number}",
        rf"{_BACKSLASH}{{1,{_BACKSLASHES}}}(?:u00{number}|U000000{number}|x{number})",
        rf"{_AMPERSAND}{_NUMBER_SIGN}(?:[xX]0{{0,6}}{number}|0{{0,6}}{code}){_SEMICOLON}",
        *(rf"{_AMPERSAND}{name}{_SEMICOLON}" for name in _names().get(character, ())),
        re.escape(character),
    ]
    before = (
        "" if character.isalnum() or character == "\\" else rf"{_BACKSLASH}{{0,{_BACKSLASHES}}}"
    )
    return f"{before}(?:{'|'.join(forms)})"


@cache
def _names() -> dict[str, list[str]]:
    """Return the HTML entities of ASCII characters."""
    names: dict[str, list[str]] = {}
    for name, character in html5.items():
        if name.endswith(";") and len(character) == 1 and character.isascii():
            names.setdefault(character, []).append(name[:-1])
    return names


def _in_base64(key: str) -> Iterator[str]:
    """Yield the texts of which Base64 contains one if the encoded data contain the API key.

    There are three, one for each offset in a group of three bytes. The characters at the edges also
    depend on the neighbouring bytes, so they are left out.
    """
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + key.encode()).decode()
        whole = (offset + len(key)) // 3 * 4
        core = encoded[(0, 2, 3)[offset] : whole]
        if len(core) >= _MIN_BASE64:
            yield from dict.fromkeys([core, core.translate(str.maketrans("+/", "-_"))])
