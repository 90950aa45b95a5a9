"""Shell quoting: command lines that can be pasted into a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def command_line(words: Iterable[str]) -> str:
    """Return a command line with exactly these words, quoted."""
    return " ".join(map(shell_word, words))


def command_about(command: str, *words: str, options: str) -> str:
    """Return a command with words and options added. A word may look like an option.

    >>> command_about("luma-async settle", "-x", options="--resubmit")
    'luma-async settle --resubmit -- -x'
    """
    quoted = " ".join(map(shell_word, words))
    if any(word.startswith("-") for word in words):
        return f"{command} {options} -- {quoted}"
    return f"{command} {quoted} {options}"


def shell_word(word: str) -> str:
    r"""Quote a word of a command line.

    Control characters are escaped as in `$'\033'`, which bash, zsh and ksh understand. Pasted as
    they are, they could control the terminal (ESC ends a bracketed paste), or reverse the direction
    of the text.
    """
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8, from os.fsdecode()
        code -= 0xDC00
        return f"\\{code:03o}"
    # Octal, and not \x, has a fixed maximum of digits, so the next character cannot join it.
    return f"\\{code:03o}" if code < 0x80 else f"\\U{code:08x}"
