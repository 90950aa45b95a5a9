"""Words of a command line, quoted."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def command_line(words: Iterable[str]) -> str:
    """Return a command line that means just these words."""
    return " ".join(map(shell_word, words))


def command_about(command: str, *words: str, options: str) -> str:
    """Return a command line with words and options added, where a word may look like an option.

    >>> command_about("luma-async settle", "-x", options="--resubmit")
    'luma-async settle --resubmit -- -x'
    """
    quoted = " ".join(map(shell_word, words))
    if any(word.startswith("-") for word in words):
        return f"{command} {options} -- {quoted}"
    return f"{command} {quoted} {options}"


def shell_word(word: str) -> str:
    r"""Quote a word of a command line.

    What is pasted into a terminal must not hold characters that steer it (ESC ends a bracketed
    paste) or that turn around what is read; $'\033' of bash, zsh and ksh tells them instead.
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
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8, as os.fsdecode() has it
        code -= 0xDC00
        return f"\\{code:03o}"
    # Octal, and not \x, takes a known number of digits at most.
    return f"\\{code:03o}" if code < 0x80 else f"\\U{code:08x}"
