"""Secrecy: the key never stands on a command line, where `ps` shows it to everybody."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import takewhile

from luma_async.cli.exit_codes import ExitCode

_KEY_OPTIONS = frozenset(
    ["--api-key", "--apikey", "--api_key", "--luma-api-key", "--secret", "--token"]
)


def refuse_key(arguments: Iterable[str]) -> None:
    """Leave, and say where the key belongs, if there is an option for one among the arguments."""
    before_words = takewhile(lambda argument: argument != "--", arguments)
    given = {argument.partition("=")[0].lower() for argument in before_words}
    if given.isdisjoint(_KEY_OPTIONS):
        return
    print(
        "luma-async takes no key on its command line, where other users of the machine can see "
        "it. Put it into the environment as LUMA_API_KEY, or as LUMA_API_KEY=... into a file .env "
        "in this folder. (The key of `luma-async simulate` is LUMA_SIMULATOR_KEY.)",
        file=sys.stderr,
    )
    sys.exit(ExitCode.USAGE)
