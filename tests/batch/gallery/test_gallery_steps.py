"""The gallery's next steps: the commands that get a video for a row that has none."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from html import unescape

import pytest

from luma_async.batch.gallery import render
from luma_async.batch.results import ResultState
from tests.batch.gallery.pages import ALL, COMMAND, COMMANDS, Page, result


def test_each_row_without_a_video_has_its_next_steps(page: Page) -> None:
    """Keys are quoted for a shell."""
    page.open(ALL)

    steps = {
        number: page.texts(f"#row-{number} .steps p, #row-{number} .steps code")
        for number in range(1, 7)
    }

    assert steps == {
        1: [],
        2: [],
        3: ["Try it again", f"{COMMAND} --retry-failed"],
        4: [
            "If it was not accepted",
            "luma-async settle 'it'\"'\"'s' --resubmit",
            "If it was, with the id JOB_ID",
            "luma-async settle 'it'\"'\"'s' --id JOB_ID",
            "Once that is settled",
            COMMAND,
        ],
        5: ["Download it", COMMAND],
        6: ["Continue the batch", COMMAND],
    }


def test_the_command_that_settles_names_the_journal() -> None:
    """The caller of the gallery gives the command."""
    settle = "luma-async settle --journal videos/journal.db"

    html = render([ALL[3]], title="Films", command=COMMAND, settle=settle)

    text = unescape(re.sub("<[^>]*>", "", html))
    assert text.count(f"{settle} 'it'\"'\"'s' --resubmit") == 2  # at the top, and at its row


def test_the_top_has_the_commands_that_settle_all_uncertain_rows(page: Page) -> None:
    """Accepted rows come first, then the rest; each command can be copied."""
    rows = [result(number, ResultState.UNCERTAIN) for number in range(1, 4)]
    page.open([*rows, result(4)], settle="luma-async settle '--journal=my cats/jobs.db'")

    assert page.texts(".notice > p") == [
        (
            "3 rows are uncertain and may be paid for. Look for them in the server’s list "  # noqa: RUF001
            "of jobs, or ask its support."
        )
    ]
    assert page.texts(".notice .steps p, .notice .steps code") == [
        "Settle those that are there first; FILE has lines KEY ID",
        "luma-async settle '--journal=my cats/jobs.db' --ids FILE",
        "Then free the rest to be submitted again",
        "luma-async settle '--journal=my cats/jobs.db' --all --resubmit",
        "Then continue the batch",
        COMMAND,
    ]
    page.stop_timers()
    page.click(".notice .steps > :nth-child(2) .copy")
    page.wait("document.querySelector('#said').textContent === 'Copied'")
    page.click("#filter")
    page.press_with_control("v")
    page.wait("filter.value === arguments[0]", page.texts(".notice code")[1])


def test_one_uncertain_row_is_named_at_the_top(page: Page) -> None:
    """The text is in the singular, and the command has the key."""
    page.open(ALL)

    assert page.texts(".notice > p") == [
        (
            "1 row is uncertain and may be paid for. Look for it in the server’s list "  # noqa: RUF001
            "of jobs, or ask its support."
        )
    ]
    assert page.texts(".notice code") == [
        "luma-async settle 'it'\"'\"'s' --id JOB_ID",
        "luma-async settle 'it'\"'\"'s' --resubmit",
        COMMAND,
    ]


def test_the_top_is_empty_without_uncertain_rows(page: Page) -> None:
    """Without a command that settles, it is empty as well."""
    page.open([result(1), result(2, ResultState.FAILED)])
    assert page.texts(".notice") == []

    page.open(ALL, settle=None)
    assert page.texts(".notice") == []


@pytest.mark.parametrize("width", [320, 1400])
def test_the_top_fits_into_the_window(page: Page, width: int) -> None:
    """The path of the journal may be long."""
    page.resize(width, 800)
    page.open(ALL, settle=f"luma-async settle --journal={'x' * 300}/jobs.db")

    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert page.ask("document.querySelector('.notice').getBoundingClientRect().right < innerWidth")


def test_a_row_that_waits_for_another_has_the_steps_of_that_one() -> None:
    """Continuing the batch does not help while the source of the row has failed."""
    rows = [
        result(1, ResultState.FAILED, key="a"),
        result(2, ResultState.NOT_STARTED, key="b", extends="a"),
        result(3, ResultState.NOT_STARTED, key="c", extends="b"),
        result(4, ResultState.NOT_STARTED, key="d", extends="e"),
        result(5, key="e"),
    ]
    html = render(rows, title="Films", command=COMMAND, **COMMANDS)

    shown = re.findall("<code.*?>(.*?)</code>", html, re.DOTALL)
    commands = [unescape(re.sub("<[^>]*>", "", each)) for each in shown]
    assert commands == [COMMANDS["retry"]] * 3 + [COMMAND]


def test_steps_without_a_command_are_left_out() -> None:
    """A Python program need not have commands that retry or settle."""
    html = render(ALL[2:4], title="Films", command="python make.py")

    shown = re.findall("<code.*?>(.*?)</code>", html, re.DOTALL)
    assert [unescape(re.sub("<[^>]*>", "", each)) for each in shown] == ["python make.py"]


@pytest.mark.parametrize(
    "key",
    ["-x", "--resubmit", "a\nb", "\x1b[201~; touch pwned", "\u202eabc", "$(pwned)", "a\\'1\t"],
)
def test_a_pasted_command_has_the_key_and_nothing_else(key: str) -> None:
    """The command has no characters that a terminal would execute."""
    row = result(1, ResultState.UNCERTAIN, key=key)
    html = render([row], title="Films", command=COMMAND, **COMMANDS)

    shown = re.findall("<code.*?>(.*?)</code>", html, re.DOTALL)
    commands = [unescape(re.sub("<[^>]*>", "", each)) for each in shown]

    assert all(command.isprintable() for command in commands)
    named = [["--id", "JOB_ID"], ["--resubmit"]]
    said = [
        ["luma-async", "settle", *options, "--", key]
        if key.startswith("-")
        else ["luma-async", "settle", key, *options]
        for options in named
    ]
    at_the_top, of_the_row = commands[:2], commands[3:5]
    assert [words_of(command) for command in at_the_top] == said
    assert [words_of(command) for command in of_the_row] == said[::-1]


def words_of(command: str) -> list[str]:
    """Return the words of a command line, as a shell splits it."""
    arguments = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"],  # noqa: S607
        check=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout.decode()
    return arguments.split("\0")[:-1]


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_a_button_copies_the_command(page: Page, *, has_clipboard: bool) -> None:
    """Over http, where a page has no access to the clipboard, it works as well."""
    page.open(ALL)
    if not has_clipboard:
        page.ask("void Object.defineProperty(navigator, 'clipboard', { value: undefined })")

    page.stop_timers()
    page.click("#row-4 .copy")
    page.wait(
        "[document.querySelector('#row-4 .copy'), document.querySelector('#said')]"
        ".every((one) => one.textContent === 'Copied')"
    )

    page.click("#filter")
    page.press_with_control("v")
    page.wait("filter.value === arguments[0]", page.texts("#row-4 code")[0])
    assert shlex.split(page.ask("filter.value")) == ["luma-async", "settle", "it's", "--resubmit"]
