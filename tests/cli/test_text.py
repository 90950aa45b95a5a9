"""Text of strangers."""

from __future__ import annotations

import pytest

from luma_async.cli.text import clean, escaped, format_duration


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07rest", "rest"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x9d0;title\x9crest", "rest"),
        ("\x1b]0;without an end", "0;without an end"),
        ("\x1bcreset", "reset"),
        ("two\nlines\r\nand a\ttab", "two lines and a tab"),
        ("over\rwritten", "over written"),
        ("bell\x07back\x08\x7f", "bellback"),
        ("turned \u202eround\u2066", r"turned \u202eround\u2066"),
        ("next\x85line\u2028and\u2029more\vand\fmore", "next line and more and more"),
        ("within \x1b\x1b[31m[31m another", "within [31m another"),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
        ("[bold]as it is[/] 👩‍🚀 שלום", "[bold]as it is[/] 👩‍🚀 שלום"),
    ],
)
def test_text_is_one_line_that_commands_no_terminal(hostile: str, harmless: str) -> None:
    """Escape sequences go, whole; line ends become spaces; everything that can be read stays."""
    assert clean(hostile) == harmless


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a\tb\nc\rd\\e", r"a\tb\nc\rd\\e"),
        ("\x1b[31mred\x9b", r"\x1b[31mred\x9b"),
        ("turned \u202eround \ud83d", r"turned \u202eround \ud83d"),
        ("two\u2028lines\x85more", r"two\u2028lines\x85more"),
        ("👩‍🚀\u3000日本\xa0", "👩‍🚀\u3000日本\xa0"),
    ],
)
def test_a_cell_of_a_line_can_be_read_back(text: str, cell: str) -> None:
    """Tabs and line breaks are escaped, and nothing is lost; text that can be read stays."""
    assert escaped(text) == cell


def test_much_text_takes_little_time() -> None:
    """A server may begin a million sequences and end none; looking for each end took hours."""
    assert clean("\x90\x9d" * 10**6 + "\x1b]" * 10**6 + "end") == "end"


def test_durations_are_told_as_people_do() -> None:
    """Seconds, then minutes, then hours."""
    assert [format_duration(seconds) for seconds in (1.26, 75, 3725)] == [
        "1.3 s",
        "1:15",
        "1:02:05",
    ]
