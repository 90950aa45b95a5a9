"""Environment of the command line: the default journal, and no API key among the words."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import takewhile

from luma_async.cli.exit_codes import ExitCode

_API_KEY_OPTIONS = frozenset(
    ["--api-key", "--apikey", "--api_key", "--luma-api-key", "--secret", "--token"]
)
"""Options that people try, and that this command line does not have."""

_API_KEY_PREFIXES = ("sk-", "luma-api-")
_API_KEY_LENGTH = 20
"""A job key with one of the prefixes and at least so many characters is taken for an API key."""

_API_KEY_WITH_UUID = re.compile(r"luma-[0-9a-f]{8}(-[0-9a-f]{4}){3}-.+", re.IGNORECASE)
"""Form of the API keys of the Dream Machine API."""


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
    is_long = len(text) >= _API_KEY_LENGTH
    return (is_long and text.startswith(_API_KEY_PREFIXES)) or bool(
        _API_KEY_WITH_UUID.fullmatch(text)
    )


def default_journal() -> str:
    """Return the path of the journal for a user who names none."""
    from platformdirs import user_state_path  # noqa: PLC0415  the extra may be missing

    return str(user_state_path("luma-async") / "journal.db")
