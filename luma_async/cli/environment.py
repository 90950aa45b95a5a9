"""Environment of the command line: the default journal, and no API key among the words."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import takewhile

from luma_async.cli.exit_codes import ExitCode

_API_KEY_OPTIONS = frozenset(
    ["--api-key", "--apikey", "--api_key", "--luma-api-key", "--secret", "--token"]
)
"""Options that people try, and that this command line does not have."""

_API_KEY_LENGTH = 20
"""A job key with the prefix `sk-` and at least so many characters is taken for an API key."""


def reject_api_key_options(arguments: Iterable[str]) -> None:
    """Exit with a usage error if an option for an API key is among the arguments."""
    before_words = takewhile(lambda argument: argument != "--", arguments)
    given = {argument.partition("=")[0].lower() for argument in before_words}
    if given.isdisjoint(_API_KEY_OPTIONS):
        return
    print(
        "luma-async accepts no API key on its command line, where other users of this machine can "
        "read it. Set LUMA_API_KEY in the environment, or write LUMA_API_KEY=... into a file .env "
        "in this folder. (The API key of `luma-async simulate` is LUMA_SIMULATOR_KEY.)",
        file=sys.stderr,
    )
    sys.exit(ExitCode.USAGE)


def looks_like_api_key(text: str) -> bool:
    """Return `True` if a text has the form of an API key."""
    return text.startswith("sk-") and len(text) >= _API_KEY_LENGTH


def default_journal() -> str:
    """Return the path of the journal for a user who names none."""
    from platformdirs import user_state_path  # noqa: PLC0415  the extra may be missing

    return str(user_state_path("luma-async") / "journal.db")
