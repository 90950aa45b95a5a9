"""Docstrings say plainly what a thing is for."""

from __future__ import annotations

import pytest

from tests.docstrings import (
    ALL_FOLDERS,
    ROOT,
    first_sentence,
    problems,
    violations,
    violations_in,
)


@pytest.mark.parametrize("folder", ALL_FOLDERS)
def test_a_folder_follows_the_rules(folder: str) -> None:
    """`python -m tests.docstrings` prints the violations."""
    assert (ROOT / folder).is_dir()
    assert "\n".join(map(str, violations(ROOT / folder))) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Run a coroutine to completion even if the caller is cancelled.",
        "Detect truncated MP4 and QuickTime files.",
        "Maximum number of distinct marks to intern; beyond this, sharing saves no memory.",
        "Bookkeeper: submits each job key only once.",
        "`True` if the last commit failed.",
        "Return the entry with this key, or `None` if there is no such entry.",
        "Return the owners of which no heartbeat has been seen.",
        "The place where a journal is stored.",
        "The file is no longer the one that was opened.",
        "Each of the rows is written once.",
        "All of the rows are written in one transaction.",
        "This module holds the tables.",
        "Those rows are kept that are still running.",
        "Write an entry and return it.",
        "Write an entry.\n\nWhat is written is durable. Nothing else is.",
    ],
)
def test_a_plain_sentence(text: str) -> None:
    """It begins with an imperative, or with the noun that a reader would search for."""
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("What survives a crash: every job.", "what, whoever or whether"),
        ("Whatever is asked at about the same time.", "what, whoever or whether"),
        ("Whoever was thought dead knows best.", "what, whoever or whether"),
        ("Whether the last commit failed.", "what, whoever or whether"),
        ("Return what is known of a job.", "what, whoever or whether"),
        ("Return whether a claim still\nstands.", "what, whoever or whether"),
        ("Which call submits it.", "with which"),
        ("Tell which row is meant.", "with which"),
        ("Close the file, which ends the lease.", "with which"),
        ("How often a transaction is begun again.", "begins with a clause"),
        ("Where a job stands in the journal.", "begins with a clause"),
        ("Who may have a submission on its way.", "begins with a clause"),
        ("Ends: how jobs ended.", "begins with a clause"),
        ("Closing: when a client is closed, and how long it takes.", "begins with a clause"),
        ("Return how each key stands.", "clause as its object"),
        ("Write down how jobs ended.", "clause as its object"),
        ("Say where the file is.", "clause as its object"),
        ("It left, and no answer came.", "begins with a pronoun"),
        ("Nothing is waited for any longer.", "begins with a pronoun"),
        ("One that is uncertain is submitted again.", "begins with a pronoun"),
        ("Those are kept that run.", "begins with a pronoun"),
        ("Everything that is asked at a time.", "begins with a pronoun"),
        ("Open it now: make its tables.", "pronoun as its object"),
        ("Note that it was opened.", "pronoun as its object"),
        ("Yield those that are open.", "pronoun as its object"),
        ("Return an error. The path is no file.", "is no X"),
    ],
)
def test_a_riddle(text: str, problem: str) -> None:
    """The rule that it breaks is named."""
    assert any(problem in broken for broken in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One sentence", "One sentence"),
        ("Two\n    lines. And more.", "Two lines."),
        ("At most 0.5 s. And more.", "At most 0.5 s."),
        ("A paragraph\n\n    Another.", "A paragraph"),
    ],
)
def test_the_first_sentence_of_a_docstring(text: str, first: str) -> None:
    """A full stop before white space ends it, and so does an empty line."""
    assert first_sentence(text) == first


def test_every_text_of_a_module_is_seen() -> None:
    """Docstrings of all kinds, and messages with a part that is put in."""
    source = '''
"""What a module is for."""
LIMIT = 1
"""How many there are."""
class Door:
    """Whatever opens."""
    width: int
    """Whether it is wide."""
    def open(self):
        """Open it."""
        def push():
            """Who pushes."""
        raise ValueError(f"{self} is no door. What else?")
'''

    found = list(violations_in(source, "door.py"))

    assert sorted({violation.place for violation in found}) == sorted(
        f"door.py:{line}" for line in (2, 4, 6, 8, 10, 12, 13)
    )
