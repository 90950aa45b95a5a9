"""`luma-async settle`: one uncertain job or a thousand, and nothing by accident."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from luma_async import InvalidRequestError, SQLJournal
from luma_async.cli.age import format_age, parse_age
from luma_async.cli.settlement import describe, searches
from luma_async.journal import Entry, EntryState
from tests.cli.commands import COMMAND, PATIENCE, Shell, wait_for
from tests.forked_programs import ForkedProgram
from tests.journal.databases import counted_commits

if sys.platform != "win32":
    import fcntl
    import termios

BLANKS = re.compile(r"\s+")


def journal_with(shell: Shell, *keys: str, hours: float = 0.0) -> None:
    """Have uncertain jobs in the journal, submitted so long ago."""

    async def make() -> None:
        async with SQLJournal(shell.journal) as journal:
            await asyncio.gather(*(lose(journal, key) for key in keys))

    async def lose(journal: SQLJournal, key: str) -> None:
        then = datetime.now(UTC) - timedelta(hours=hours)
        entry = Entry(
            key=key,
            state=EntryState.SUBMITTING,
            request={"prompt": f"a cat, {key}"},
            server="https://a.example",
            submitted_at=then,
            updated_at=then,
            fingerprint="f",
            claim=uuid4().hex,
            request_id=f"sent-{key[-1:]}",
        )
        await journal.claim(entry)
        await journal.mark_uncertain(entry, f"no answer to {key}")

    shell.journal.parent.mkdir(exist_ok=True)
    asyncio.run(make())


def jobs(shell: Shell) -> dict[str, tuple[str, str | None]]:
    """Return the state and the id of each job in the journal."""
    return {job["key"]: (job["state"], job["id"]) for job in shell.lines("jobs")}


UNCERTAIN = ("uncertain", None)


def test_several_keys_are_freed_at_once(tmp_path: Path) -> None:
    """And if one of them is not uncertain, none is."""
    shell = Shell(tmp_path)
    journal_with(shell, "a", "b", "c")

    wrong = shell.run("settle", "a", "nobody", "--resubmit")
    assert jobs(shell) == dict.fromkeys("abc", UNCERTAIN)
    done = shell.run("settle", "a", "b", "--resubmit")

    assert wrong.returncode == 1
    assert "Nothing was settled" in wrong.stderr
    assert "'nobody' is not in the journal" in wrong.stderr
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{key}: rejected, may be submitted again" for key in "ab"]
    assert done.stderr == "2 jobs settled: 0 accepted, 2 rejected.\n"
    assert jobs(shell) == {"c": UNCERTAIN}


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (["--all"], set()),
        (["--prefix", "row-"], {"cat-1", "old-1"}),
        (["--older-than", "2h"], {"row-1", "row-2", "cat-1"}),
        (["--prefix", "old", "--older-than", "90m"], {"row-1", "row-2", "cat-1"}),
        (["--all", "--prefix", "nobody"], {"row-1", "row-2", "cat-1", "old-1"}),
    ],
)
def test_jobs_are_chosen_by_key_and_age(chosen: list[str], left: set[str], tmp_path: Path) -> None:
    """Only uncertain jobs are selected; a dry run changes nothing."""
    shell = Shell(tmp_path)
    journal_with(shell, "row-1", "row-2", "cat-1")
    journal_with(shell, "old-1", hours=3)
    everyone = {"row-1", "row-2", "cat-1", "old-1"}

    plan = shell.lines("settle", *chosen, "--resubmit", "--dry-run")
    assert set(jobs(shell)) == everyone
    done = shell.run("settle", *chosen, "--resubmit", "--yes")

    assert done.returncode == 0
    assert {line["key"] for line in plan} == everyone - left
    assert not any(line["settled"] for line in plan)
    assert set(jobs(shell)) == left


def test_a_script_must_say_yes(tmp_path: Path) -> None:
    """A script cannot answer a question, and a wrong answer may pay twice."""
    shell = Shell(tmp_path)
    journal_with(shell, "a", "b")

    done = shell.run("settle", "--all", "--resubmit")

    assert done.returncode == 2
    assert "2 uncertain jobs would be marked rejected" in done.stderr
    assert "--dry-run, then confirm with --yes" in done.stderr
    assert len(jobs(shell)) == 2


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [("y\n", 0, 0), ("\n", 1, 2), ("\x04", 1, 2), (signal.SIGINT, 130, 2)],
    ids=["yes", "nothing", "end of input", "Ctrl-C"],
)
def test_a_person_is_asked(
    answer: str | signal.Signals, code: int, left: int, tmp_path: Path
) -> None:
    """The jobs are listed first; any answer but yes changes nothing."""
    shell = Shell(tmp_path)
    journal_with(shell, "a", "b", hours=1.6)

    ended, shown, _ = shell.on_a_terminal("settle", "--all", "--resubmit", answer=answer)

    assert ended == code
    assert "a  1 h 36 min ago  a cat, a" in shown
    assert "is paid for twice. Look for them in your gateway's list of tasks." in shown
    assert "Mark 2 uncertain jobs rejected, to be submitted again? [y/N]" in shown
    assert "Traceback" not in shown
    assert len(jobs(shell)) == left


def test_the_question_tells_where_the_jobs_of_each_api_are_found() -> None:
    """A customer of Luma has no gateway's list; support needs the request id, and has it there."""
    now = datetime.now(UTC)
    servers = {
        "a": "https://agents.lumalabs.ai/v1",
        "b": "https://api.lumalabs.ai/dream-machine/v1",
        "c": "https://a.example",
    }
    entries = {
        key: Entry(
            key=key,
            state=EntryState.UNCERTAIN,
            request={"prompt": "a cat"},
            server=server,
            submitted_at=now,
            updated_at=now,
            fingerprint="f",
            claim=uuid4().hex,
            request_id=f"sent-{key}",
        )
        for key, server in servers.items()
    }

    assert searches({"a": entries["a"]}) == [
        "This API has no list of jobs: ask Luma's support for it, by request id."
    ]
    assert searches(entries) == [
        "Dialect agents: This API has no list of jobs: ask Luma's support for it, by request id.",
        "Dialect dream-machine: Look for it in the list of jobs of the account: `luma-async list`.",
        "Dialect gateway: Look for it in your gateway's list of tasks.",
    ]
    assert describe(entries["a"]).endswith("a cat  (request id sent-a)")
    assert describe(entries["c"]).endswith("a cat")


FORMS = {
    "lines": "row-1 job-1\n\n  the cat   job-2\n",
    "tabs": "row-1\tjob-1\nthe cat\tjob-2\n",
    "CSV": 'row-1,job-1\n"the cat",job-2\n',
    "CSV of a spreadsheet": "\ufeffkey;id\r\nrow-1;job-1\r\nthe cat; job-2 \r\n",
    "a wider table": 'task_id,status,key\njob-1,done,row-1\njob-2,"late, but done",the cat\n',
    "JSON lines": '{"key": "row-1", "id": "job-1"}\n{"task_id": "job-2", "key": "the cat"}\n',
    "a mixture": '{"key": "row-1", "id": "job-1"}\nthe cat job-2\n',
}


@pytest.mark.parametrize("form", FORMS)
def test_ids_come_in_many_forms(form: str, tmp_path: Path) -> None:
    """Ids are read in the forms that people and programs write; other jobs stay uncertain."""
    shell = Shell(tmp_path)
    journal_with(shell, "row-1", "the cat", "row-3")
    (tmp_path / "ids.txt").write_text(FORMS[form], "utf-8", newline="")

    done = shell.run("settle", "--ids", "ids.txt")

    assert done.returncode == 0, done.stderr
    assert jobs(shell) == {
        "row-1": ("running", "job-1"),
        "the cat": ("running", "job-2"),
        "row-3": UNCERTAIN,
    }


def test_what_jobs_prints_can_be_filled_in_and_read_again(tmp_path: Path) -> None:
    """Lines left without an id are free if that is said; a second time changes nothing."""
    shell = Shell(tmp_path)
    journal_with(shell, "a", "b")
    listed = shell.run("jobs", "--json").stdout.splitlines()
    filled = [json.loads(line) for line in listed]
    filled[0]["id"] = "job-1"
    text = "\n".join(map(json.dumps, filled))

    unsaid = shell.run("settle", "--ids", "-", stdin=text)
    assert set(jobs(shell).values()) == {UNCERTAIN}
    done = shell.run("settle", "--ids", "-", "--resubmit", stdin=text)
    again = shell.run("settle", "--ids", "-", stdin=json.dumps(filled[0]))

    assert unsaid.returncode == 2
    assert "standard input:2: 'b' has no id; --resubmit marks" in unsaid.stderr
    assert (done.returncode, again.returncode) == (0, 0)
    assert done.stderr == "2 jobs settled: 1 accepted, 1 rejected.\n"
    assert jobs(shell) == {"a": ("running", "job-1")}


def test_every_bad_line_is_named_and_nothing_is_settled(tmp_path: Path) -> None:
    """Line numbers are printed for invalid lines, and for contradictions to the journal."""
    shell = Shell(tmp_path)
    journal_with(shell, "a", "b", "c", "d")
    shell.run("settle", "d", "--id", "job-9")
    (tmp_path / "ids.txt").write_text(
        "\n".join(
            [
                "a job-1",
                "b",
                "b,job-2,job-3",
                '{"key": 7, "id": "job-4"}',
                '{"key": "b", "id": ["x"]}',
                '{"key": "b"',
                f"{'x' * 501} job-5",
                "nobody job-6",
                "a job-7",
                "c job-9",
                "b job-1",
                "d job-8",
            ]
        )
    )

    done = shell.run("settle", "--ids", "ids.txt")

    assert done.returncode == 2
    said = dict(re.findall(r"ids\.txt:(\d+): (.*)", done.stderr.replace(" ids.txt:", "\nids.txt:")))
    assert {int(number) for number in said} == set(range(2, 13))
    assert "has no id" in said["2"]
    assert "found 3 cells" in said["3"]
    assert said["8"] == "'nobody' is not in the journal"
    assert said["9"] == "'a' is already in line 1"
    assert said["10"] == "job job-9 belongs to 'd', not to 'c'"
    assert said["11"] == "job job-1 belongs to 'a', not to 'b'"
    assert said["12"] == "'d' is running"
    assert jobs(shell) == dict.fromkeys("abc", UNCERTAIN) | {"d": ("running", "job-9")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exactly one of these is needed"),
        (["--resubmit"], "exactly one of these is needed"),
        (["a"], "either --id ID or --resubmit is needed"),
        (["a", "--id", "x", "--resubmit"], "either --id ID or --resubmit is needed"),
        (["a", "b", "--id", "x"], "--id can be used with one job key only"),
        (["--all", "--id", "x"], "--id can be used with one job key only"),
        (["a", "--all", "--resubmit"], "exactly one of these is needed"),
        (["--ids", "-", "--id", "x"], "--id cannot be used together with --ids"),
        (["--ids", "-", "--prefix", "x"], "exactly one of these is needed"),
        (["--ids", "nowhere.txt"], "nowhere.txt cannot be read: No such file"),
        (["--older-than", "2", "--resubmit"], "got '2'"),
        (["--older-than", "soon", "--resubmit"], "got 'soon'"),
    ],
)
def test_what_contradicts_itself_is_bad_usage(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    """Exit code 2, and nothing is settled."""
    shell = Shell(tmp_path)
    journal_with(shell, "a", "b")

    done = shell.run("settle", *arguments)

    assert done.returncode == 2
    assert said in BLANKS.sub(" ", done.stderr)
    assert len(jobs(shell)) == 2


def test_a_thousand_jobs_take_few_transactions(tmp_path: Path) -> None:
    """From a list, with a line for each; one transaction for each would take long."""
    shell = Shell(tmp_path)
    keys = [f"row-{number}" for number in range(1000)]
    journal_with(shell, *keys)
    ids = "".join(f"{key} job-{key}\n" for key in keys)

    with counted_commits() as commits:
        done = shell.run("settle", "--ids", "-", stdin=ids)

    assert len(commits) < 50
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1000
    assert done.stderr == "1,000 jobs settled: 1,000 accepted, 0 rejected.\n"


def test_where_nothing_is_uncertain_there_is_nothing_to_ask(tmp_path: Path) -> None:
    """A script that runs again does no harm."""
    shell = Shell(tmp_path)
    journal_with(shell, "a")

    shell.run("settle", "--all", "--resubmit", "--yes")
    done = shell.run("settle", "--all", "--resubmit")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "No such jobs are uncertain.\n"


def test_no_journal_is_begun_to_settle_something_in(tmp_path: Path) -> None:
    """Not even where nobody named one."""
    shell = Shell(tmp_path, more={"LUMA_JOURNAL": "", "XDG_STATE_HOME": str(tmp_path)})

    done = shell.run("settle", "--all", "--resubmit", "--yes")

    assert done.returncode == 1
    assert "nothing to settle" in done.stderr
    assert not list(tmp_path.rglob("*.db"))


def test_uncertain_jobs_are_listed_as_a_gateway_lists_them(tmp_path: Path) -> None:
    """Key, time, age, prompt and reason, also on a narrow terminal; a script gets all there is."""
    shell = Shell(tmp_path)
    journal_with(shell, "row-1", hours=50)

    _, shown, _ = shell.on_a_terminal("jobs", "--state", "uncertain", columns=80)
    [job] = shell.lines("jobs", "--state", "uncertain")

    text = BLANKS.sub(" ", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    assert "key submitted (UTC) age prompt reason" in text
    assert f"row-1 {job['submitted_at'][:10]}" in text
    assert " 2 d 2 h a cat, row-1 no answer to row-1" in text
    assert "request id sent-1" in text
    assert job["request_id"] == "sent-1"
    assert {"key", "id", "request", "submitted_at", "updated_at", "reason", "server"} <= set(job)
    assert (job["state"], job["reason"]) == ("uncertain", "no answer to row-1")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), (" 1.5 H ", 5400), ("2d", 172800), (".5d", 43200)],
)
def test_ages_are_written_as_people_do(text: str, seconds: float) -> None:
    """A number and a unit."""
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 weeks", "1e9d", "nan d", "9" * 400 + "d"])
def test_what_is_not_an_age_is_refused(text: str) -> None:
    """Without a unit nobody knows how much it is."""
    with pytest.raises(InvalidRequestError, match="must be a number and a unit"):
        parse_age(text)


def test_ages_are_told_in_their_largest_units() -> None:
    """As `luma-async jobs` has them."""
    told = [format_age(seconds) for seconds in (-3, 0.4, 59.9, 60, 3599, 3600, 86399, 86400, 1e6)]

    assert told == [
        *("0 s", "0 s", "59 s", "1 min", "59 min"),
        *("1 h 0 min", "23 h 59 min", "1 d 0 h", "11 d 13 h"),
    ]


def test_ctrl_c_ends_the_wait_for_a_list(tmp_path: Path) -> None:
    """Nobody has to close standard input first."""
    shell = Shell(tmp_path)
    journal_with(shell, "a")
    with ForkedProgram(
        [*COMMAND, "settle", "--ids", "-"],
        loaded=True,
        env=shell.environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("a job-a\n")
        process.stdin.flush()
        pipe = process.stdin.fileno()
        wait_for(lambda: fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4) == b"\0" * 4)  # it is read
        process.send_signal(signal.SIGINT)

        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == "Interrupted.\n"

    assert jobs(shell) == {"a": UNCERTAIN}
