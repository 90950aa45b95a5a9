"""`luma-async batch`: stopped and started as its user likes, and nothing is paid for twice."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import re
import shlex
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import av
import pytest

from luma_async import SQLJournal
from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.connection import Connection
from luma_async.cli.interruption import TERMINATION_SIGNALS
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.testing import running_simulator
from tests.cli.commands import HELD_LOOKS, PATIENCE, Done, Shell, line_with, wait_for
from tests.clients import HOUR, InTurn
from tests.platforms import needs_posix


@contextmanager
def gateway(**settings: Any) -> Iterator[Simulator]:
    settings = {"durations": Fixed(0.3), "short_side": 90, **settings}
    with running_simulator(**settings) as simulator:
        yield simulator


def shell(sim: Simulator | None, folder: Path) -> Shell:
    """Return a shell in which no journal is named, and at no gateway if there is none."""
    url = "http://127.0.0.1:9" if sim is None else sim.url
    return Shell(folder, url, more={"LUMA_JOURNAL": "", "COLUMNS": "100"})


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    names = ["key", "prompt", "extends", "aspect_ratio"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def cats(number: int) -> list[dict[str, str]]:
    return [
        {"key": f"cat-{n}", "prompt": f"a cat, take {n}", "aspect_ratio": "1:1"}
        for n in range(number)
    ]


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_file_of_rows_becomes_a_folder(tmp_path: Path) -> None:
    """Videos by their keys, results, a gallery; run again, it has nothing to do."""
    chain = {"key": "bow", "prompt": "it bows", "extends": "cat-0"}
    write_rows(tmp_path / "rows.csv", [*cats(3), chain])
    with gateway() as sim:
        first = shell(sim, tmp_path).run("batch", "rows.csv")
        again = shell(sim, tmp_path).run("batch", "rows.csv", "--json")

        assert len(sim.ledger.jobs) == 4
    assert (first.returncode, again.returncode) == (0, 0)
    assert sorted(first.stdout.splitlines()) == [
        "bow: videos/bow.mp4",
        *(f"cat-{n}: videos/cat-{n}.mp4" for n in range(3)),
    ]
    assert first.stderr == "4 rows: 4 done.\nGallery: rows/gallery.html\n"
    assert again.stdout == ""
    assert {path.name for path in (tmp_path / "rows").iterdir()} >= {
        "gallery.html",
        "jobs.db",
        "results.jsonl",
        "videos",
    }
    assert "videos/cat-2.mp4" in (tmp_path / "rows" / "gallery.html").read_text("utf-8")


def settle(sim: Simulator, folder: Path) -> int:
    """Settle uncertain jobs with the server's list of tasks, as a user does."""
    taken = {job.request["user_prompt"]: job.id for job in sim.ledger.jobs}

    async def settle_all() -> int:
        async with SQLJournal(folder / "out" / "jobs.db") as journal:
            entries = await journal.uncertain()
            for entry in entries:
                id = taken.get(entry.request["prompt"])
                await journal.settle(entry.key, id=id, resubmit=id is None)
            return len(entries)

    return asyncio.run(settle_all())


def has_jobs_or_ended(sim: Simulator, jobs: int, process: Popen[str]) -> bool:
    return len(sim.ledger.jobs) >= jobs or process.poll() is not None


@needs_posix
@pytest.mark.parametrize(
    ("count", "stops"), [(40, 4), pytest.param(200, 10, marks=pytest.mark.long)]
)
def test_it_may_be_stopped_in_any_way_at_any_moment(count: int, stops: int, tmp_path: Path) -> None:
    """Failing jobs, a bad network, chains; Ctrl-C and SIGKILL: each row once, and every good one.

    What was on the wire when the process was killed is settled, as its user would.
    """
    chance = random.Random(6)
    rows = cats(count - 12)
    for story in range(3):
        parent = f"cat-{story}"
        for part in range(4):
            key = f"story-{story}-{part}"
            rows.append({"key": key, "prompt": f"story {story} goes on {part}", "extends": parent})
            parent = key
    write_rows(tmp_path / "rows.csv", rows)
    command = ["batch", "rows.csv", "--output", "out", "--max-tasks", "12"]
    with gateway(failure_rate=0.1, same_films=True) as sim:
        looks = ["get", "tasks", "link", "media"]
        sim.faults.add(Fault.cut(on=looks, share=0.025), Fault.page(502, on=looks, share=0.025))
        sim.faults.add(Fault.explained(503, share=0.04), Fault.cut(after=True, share=0.01))
        for number in range(stops):
            how = [signal.SIGINT, signal.SIGKILL][number % 2]
            taken = len(sim.ledger.jobs)
            wanted = taken + chance.randrange(3, 3 + count // stops)
            with shell(sim, tmp_path).started(*command) as process:
                wait_for(partial(has_jobs_or_ended, sim, wanted, process))
                process.send_signal(how)
                _, said = process.communicate(timeout=PATIENCE)
            assert "Traceback" not in said, said
            settle(sim, tmp_path)
        last = shell(sim, tmp_path).run(*command)
        while settle(sim, tmp_path):
            last = shell(sim, tmp_path).run(*command)

        jobs = list(sim.ledger.jobs)
    by_prompt = Counter(job.request["user_prompt"] for job in jobs)
    failed = {job.request["user_prompt"] for job in jobs if job.failure}
    found = {result["key"]: result for result in results(tmp_path / "out")}
    assert last.returncode == (1 if failed else 0), last.stderr
    assert max(by_prompt.values()) == 1, "a row was paid for twice"
    assert len(results(tmp_path / "out")) == len(found) == len(rows)
    parents = {row["key"]: row.get("extends") for row in rows}
    prompts = {row["key"]: row["prompt"] for row in rows}
    for key in prompts:
        ancestors, each = [key], parents[key]
        while each:
            ancestors.append(each)
            each = parents[each]
        is_good = not any(prompts[one] in failed for one in ancestors)
        assert (found[key]["state"] == "done") is is_good, found[key]
        if is_good:
            with av.open(str(tmp_path / "out" / found[key]["file"])) as film:
                assert film.duration


def test_ctrl_c_once_waits_and_twice_leaves(tmp_path: Path) -> None:
    """Both say so, and how to go on; both are 130, with nothing lost."""
    write_rows(tmp_path / "rows.csv", cats(60))
    batch = ["batch", "rows.csv", "--output", "out", "--max-tasks", "5"]
    with gateway() as sim:
        sim.faults.add(HELD_LOOKS)
        with shell(sim, tmp_path).started(*batch) as once:
            wait_for(lambda: len(sim.ledger.jobs) == 5)
            once.send_signal(signal.SIGINT)
            line_with(once.stderr, "No more rows are submitted; ")
            sim.faults.clear()
            told, said = once.communicate(timeout=PATIENCE)
        taken = len(sim.ledger.jobs)
        sim.faults.add(HELD_LOOKS)
        with shell(sim, tmp_path).started(*batch) as twice:
            wait_for(lambda: len(sim.ledger.jobs) == 10)
            twice.send_signal(signal.SIGINT)
            line_with(twice.stderr, "No more rows are submitted; ")
            twice.send_signal(signal.SIGINT)
            _, said_2 = twice.communicate(timeout=PATIENCE)

    assert (once.returncode, twice.returncode) == (130, 130)
    assert len(told.splitlines()) == taken == 5
    assert "Stopped at once; nothing is lost. To continue: luma-async batch rows.csv" in said_2
    assert "Traceback" not in said + said_2


def test_ctrl_c_keeps_back_what_waits_to_be_tried_again(tmp_path: Path) -> None:
    """Rows that the server had no room for are not submitted after it, and are still to do."""
    write_rows(tmp_path / "rows.csv", cats(20))
    with gateway() as sim:
        sim.faults.add(Fault.rate_limited(retry_after=120))
        with shell(sim, tmp_path).started("batch", "rows.csv") as process:
            wait_for(lambda: sim.ledger.statuses[429])
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=100)

        assert not sim.ledger.jobs
    assert process.returncode == 130
    assert "20 rows: 20 still to do." in said


def test_the_end_of_a_service_leaves_at_once(tmp_path: Path) -> None:
    """SIGTERM acts like Ctrl-C twice: the command to continue is printed."""
    write_rows(
        tmp_path / "rows.csv", [*cats(1), {"key": "late", "prompt": "x", "extends": "cat-0"}]
    )
    with gateway(durations=InTurn(0.3, HOUR)) as sim:
        with shell(sim, tmp_path).started("batch", "rows.csv") as process:
            wait_for(lambda: len(sim.ledger.jobs) == 2)
            wait_for((tmp_path / "rows" / "results.jsonl").read_text)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert "Stopped at once; nothing is lost. To continue: luma-async batch rows.csv" in said
    assert "cat-0" in (tmp_path / "rows" / "gallery.html").read_text("utf-8")
    assert "Traceback" not in said


def test_a_reader_that_leaves_does_not_end_it(tmp_path: Path) -> None:
    """With `| head -1`, all rows are still generated."""
    write_rows(tmp_path / "rows.csv", cats(4))
    with gateway() as sim, shell(sim, tmp_path).started("batch", "rows.csv") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 0

    assert len(results(tmp_path / "rows")) == 4


def test_from_wherever_it_is_run_it_is_the_same_batch(tmp_path: Path) -> None:
    """Its folder, and so its journal, is beside the file: nothing is paid for again."""
    (tmp_path / "sub").mkdir()
    write_rows(tmp_path / "sub" / "rows.csv", cats(2))
    with gateway() as sim:
        shell(sim, tmp_path).run("batch", "sub/rows.csv")
        shell(sim, tmp_path / "sub").run("batch", "rows.csv")

        assert len(sim.ledger.jobs) == 2
    assert len(results(tmp_path / "sub" / "rows")) == 2


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    """No key, no request, no file."""
    write_rows(tmp_path / "rows.csv", [*cats(2), {"key": "b", "prompt": "x", "extends": "cat-0"}])

    plain = shell(None, tmp_path).run("batch", "rows.csv", "--dry-run")
    told = shell(None, tmp_path).run("batch", "rows.csv", "--dry-run", "--json")

    assert plain.returncode == 0
    assert plain.stdout.splitlines()[-1] == "b: extend cat-0: x"
    assert "3 rows: 0 have ended, 3 would be run." in plain.stderr
    assert [json.loads(line)["key"] for line in told.stdout.splitlines()] == ["cat-0", "cat-1", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_what_failed_is_tried_again_where_that_is_asked_for(tmp_path: Path) -> None:
    """By `--retry-failed` only, for it is paid for."""
    write_rows(tmp_path / "rows.csv", cats(2))
    with gateway(failure_rate=1.0) as sim:
        first = shell(sim, tmp_path).run("batch", "rows.csv")
        sim._maker.failure_rate = 0.0
        second = shell(sim, tmp_path).run("batch", "rows.csv")
        assert len(sim.ledger.jobs) == 2
        planned = shell(sim, tmp_path).run("batch", "rows.csv", "--retry-failed", "--dry-run")
        third = shell(sim, tmp_path).run("batch", "rows.csv", "--retry-failed")

        assert len(sim.ledger.jobs) == 4
    assert [done.returncode for done in (first, second, third)] == [1, 1, 0]
    assert "2 rows: 0 have ended, 2 would be run." in planned.stderr
    assert "2 rows: 2 done." in third.stderr


def test_a_dry_run_tells_what_is_still_to_do(tmp_path: Path) -> None:
    """Rows that have no result, and those whose file is gone."""
    write_rows(tmp_path / "rows.csv", cats(4))
    with gateway() as sim:
        shell(sim, tmp_path).run("batch", "rows.csv", "--limit-jobs", "3")
    (tmp_path / "rows" / "videos" / "cat-1.mp4").unlink()

    plan = shell(None, tmp_path).run("batch", "rows.csv", "--dry-run", "--limit-jobs", "1")

    assert [line.partition(":")[0] for line in plan.stdout.splitlines()] == ["cat-1", "cat-3"]
    assert "4 rows: 2 have ended, 2 would be run, at most 1 of them as new jobs." in plan.stderr


def test_a_limit_is_kept(tmp_path: Path) -> None:
    """And said in the sum."""
    write_rows(tmp_path / "rows.csv", cats(5))
    with gateway() as sim:
        done = shell(sim, tmp_path).run("batch", "rows.csv", "--limit-jobs", "2")

        assert len(sim.ledger.jobs) == 2
    assert done.returncode == 0
    assert "5 rows: 2 done, 3 still to do." in done.stderr


def test_the_commands_of_the_gallery_bring_what_is_missing(tmp_path: Path) -> None:
    """The commands can be pasted, and name the journal."""
    write_rows(tmp_path / "rows.csv", cats(1))
    with gateway() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))
        first = shell(sim, tmp_path).run("batch", "rows.csv", "--journal", "other.db")
        page = (tmp_path / "rows" / "gallery.html").read_text("utf-8")
        said = [re.sub("<.*?>", "", code) for code in re.findall(r"<code.*?>(.*?)</code>", page)]
        [settle] = {command for command in said if "JOB_ID" in command}  # at the top and at its row
        [go_on] = {command for command in said if command.startswith("luma-async batch ")}

        settle = settle.replace("JOB_ID", sim.ledger.jobs[0].id)
        settled = shell(sim, tmp_path).run(*shlex.split(settle)[1:])
        last = shell(sim, tmp_path).run(*shlex.split(go_on)[1:])

        assert len(sim.ledger.jobs) == 1
    assert [done.returncode for done in (first, settled, last)] == [1, 0, 0]
    assert "1 row: 1 done." in last.stderr


def summary_of(done: Done) -> list[str]:
    """Return the last lines that a batch says, from its counts on."""
    said = done.stderr.splitlines()
    start = next(number for number, line in enumerate(said) if re.match(r"[\d,]+ rows?: ", line))
    return said[start:]


def test_the_summary_says_how_uncertain_rows_are_settled(tmp_path: Path) -> None:
    """In one line with the whole command, and in a second one if some were accepted."""
    write_rows(tmp_path / "rows.csv", cats(4))
    with gateway() as sim:
        sim.faults.add(Fault.cut(after=True, times=3))
        done = shell(sim, tmp_path).run("batch", "rows.csv", "--output", "my cats")

        said = summary_of(done)
        ids = "".join(
            f"cat-{job.request['user_prompt'][-1]} {job.id}\n" for job in sim.ledger.jobs[:2]
        )
        command = said[2].partition("KEY ID: ")[2].replace("FILE", "-")
        accepted = shell(sim, tmp_path).run(*shlex.split(command)[1:], stdin=ids)
        rest = shell(sim, tmp_path).run(*shlex.split(said[1].partition("there: ")[2])[1:], "--yes")
        last = shell(sim, tmp_path).run("batch", "rows.csv", "--output", "my cats")

        assert len(sim.ledger.jobs) == 4 + 1
    settle = "luma-async settle '--journal=my cats/jobs.db'"
    look = "3 rows are uncertain. Look for their jobs in your gateway's list of tasks."
    assert said == [
        "4 rows: 1 done, 3 uncertain.",
        f"{look} If none is there: {settle} --all --resubmit",
        f"If some are there, settle these first, with a file of lines KEY ID: {settle} --ids FILE",
        "Gallery: my cats/gallery.html",
    ]
    assert [each.returncode for each in (accepted, rest, last)] == [0, 0, 0]
    assert len(accepted.stdout.splitlines()) == 2
    assert len(rest.stdout.splitlines()) == 1
    assert "4 rows: 4 done." in last.stderr


def test_one_uncertain_row_is_named(tmp_path: Path) -> None:
    """With its key, quoted for the shell."""
    write_rows(tmp_path / "rows.csv", [{"key": "it's", "prompt": "a cat", "aspect_ratio": "1:1"}])
    with gateway() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))
        done = shell(sim, tmp_path).run("batch", "rows.csv")

    key = shlex.quote("it's")
    settle = "luma-async settle --journal=rows/jobs.db"
    look = "1 row is uncertain. Look for its job in your gateway's list of tasks."
    assert summary_of(done)[1:3] == [
        f"{look} If the job is not there: {settle} {key} --resubmit",
        f"If it is there, with the id ID: {settle} {key} --id ID",
    ]


def test_in_a_journal_of_many_only_the_rows_of_the_batch_are_named(tmp_path: Path) -> None:
    """`--all` would settle those of others as well; the gallery says the same."""
    write_rows(tmp_path / "rows.csv", cats(2))
    with gateway() as sim:
        sim.faults.add(Fault.cut(after=True, times=2))
        batch = ["batch", "rows.csv", "--journal", "ours.db", "--max-tasks", "1"]
        done = shell(sim, tmp_path).run(*batch)

    settle = "luma-async settle --journal=ours.db cat-0 cat-1 --resubmit"
    page = re.sub("<.*?>", "", (tmp_path / "rows" / "gallery.html").read_text("utf-8"))
    assert summary_of(done)[1].endswith(f"If none is there: {settle}")
    assert settle in page
    assert "--all" not in page


def test_uncertain_rows_are_sent_once_more_where_that_is_asked_for(tmp_path: Path) -> None:
    """The plan, the beginning and the end say that this may pay twice."""
    write_rows(tmp_path / "rows.csv", cats(3))
    with gateway() as sim:
        sim.faults.add(Fault.cut(after=True, times=2))
        shell(sim, tmp_path).run("batch", "rows.csv")
        kept = shell(sim, tmp_path).run("batch", "rows.csv", "--dry-run")
        planned = shell(sim, tmp_path).run("batch", "rows.csv", "--dry-run", "--retry-uncertain")
        limited = shell(sim, tmp_path).run(
            "batch", "rows.csv", "--retry-uncertain", "--limit-jobs", "1"
        )
        assert len(sim.ledger.jobs) == 3 + 1
        last = shell(sim, tmp_path).run("batch", "rows.csv", "--retry-uncertain")
        nothing = shell(sim, tmp_path).run("batch", "rows.csv", "--retry-uncertain")

        assert len(sim.ledger.jobs) == 3 + 2
    assert "Uncertain rows among these: 2. They are not submitted again until" in kept.stderr
    assert "Uncertain rows among these: 2. They would be submitted again" in planned.stderr
    for done in (limited, last, nothing):
        assert "are submitted again, and may be paid for twice" in done.stderr.splitlines()[0]
    assert "1 uncertain row was submitted again, and may be paid for twice." in last.stderr
    assert "was submitted again" not in nothing.stderr
    assert "3 rows: 3 done." in last.stderr


def test_an_empty_account_says_how_to_go_on(tmp_path: Path) -> None:
    """The error and the command to continue are printed in one line each."""
    write_rows(tmp_path / "rows.csv", cats(30))
    with gateway(credits=2) as sim:
        batch = ["batch", "rows.csv", "--max-tasks", "2", "--rejection-code", "no channel"]
        done = shell(sim, tmp_path).run(*batch)

    problem, go_on = done.stderr.splitlines()[-2:]
    assert done.returncode == 1
    assert "Top up the account" in problem
    assert go_on == (
        "Once the account is topped up, continue: "
        "luma-async batch rows.csv '--rejection-code=no channel' --max-tasks=2"
    )


BAD: dict[str, tuple[str, bytes, str]] = {
    "missing column": ("rows.csv", b"text\na cat\n", "'prompt' is not a column of this file"),
    "encoding": ("rows.csv", b"prompt\na\x81\n", "rows.csv:2:2: byte 0x81 is neither UTF-8"),
    "mark of another encoding": ("rows.csv", b"\xff\xfep\0\n\0a\0", "'p' is not a known column"),
    "separators": ("rows.csv", b"key;prompt\na,a cat\n", "this row has 1 cell and the first"),
    "duplicated keys": ("rows.csv", b"key,prompt\na,x\na,y\n", "'a' is the key of line 2, too"),
    "circle": ("rows.csv", b"key,prompt,extends\na,x,b\nb,x,a\n", "in a cycle: a -> b -> a"),
    "empty": ("rows.csv", b"", "the file is empty"),
    "not there": ("other.csv", b"", "rows.csv: cannot be read: No such file"),
    "yaml": ("rows.csv", b'prompt\n"a cat\n', "are all quotes closed"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_clear_report(kind: str, tmp_path: Path) -> None:
    """Exit code 2, nothing submitted, nothing made."""
    name, content, problem = BAD[kind]
    (tmp_path / name).write_bytes(content)
    with gateway() as sim:
        done = shell(sim, tmp_path).run("batch", "rows.csv")

        assert sim.ledger.requests.total() == 0
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--output", "out"]], ids=" ".join)
@pytest.mark.parametrize("path", ["", ".", "./", "/", "..", "../folder", "folder"])
def test_a_folder_is_not_a_manifest(path: str, options: list[str], tmp_path: Path) -> None:
    """An empty path and one that ends without a name, too, for which there is no default folder."""
    (tmp_path / "folder").mkdir()

    done = shell(None, tmp_path / "folder").run("batch", path, "--json", *options)

    assert done.returncode == 2
    [problem] = [json.loads(line) for line in done.stdout.splitlines()]
    assert problem["error_type"] == "ManifestError"
    assert problem["error"].startswith("the name must end with one of: .csv")
    assert f"{problem['file']}: {problem['error']}" in done.stderr
    assert list((tmp_path / "folder").iterdir()) == []


def test_every_problem_of_a_file_is_a_line_and_an_object(tmp_path: Path) -> None:
    """A problem has a line number, a field and advice; a script gets it as data."""
    (tmp_path / "rows.csv").write_text("prompt,loop,aspect_ratio\na cat,maybe,7:7\n,WAHR,16:09\n")

    done = shell(None, tmp_path).run("batch", "rows.csv", "--dry-run", "--json")

    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line.partition("; ")[0] for line in lines] == [
        "rows.csv:2:2: loop: 'maybe' is neither true nor false",
        "rows.csv:2:3: aspect_ratio: '7:7' is not valid",
        "rows.csv:3:1: prompt: is required",
    ]
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["line"], each["column"], each["field"]) for each in objects] == [
        (2, 2, "loop"),
        (2, 3, "aspect_ratio"),
        (3, 1, "prompt"),
    ]
    assert {each["error_type"] for each in objects} == {"ManifestError"}
    assert {each["file"] for each in objects} == {"rows.csv"}


def test_a_guess_at_the_encoding_is_said_in_a_line(tmp_path: Path) -> None:
    """A warning explains the wrong letters."""
    (tmp_path / "rows.csv").write_bytes("prompt;loop\nein K\u00e4tzchen;FALSCH\n".encode("cp1252"))

    done = shell(None, tmp_path).run("batch", "rows.csv", "--dry-run")

    assert done.returncode == 0
    assert "ein K\u00e4tzchen" in done.stdout
    assert done.stderr.startswith("rows.csv is not UTF-8, so it is read as Windows-1252. If ")
    assert done.stderr.endswith("\n1 row: 0 have ended, 1 would be run.\n")


@pytest.mark.usefixtures("quick_retries")
def test_a_gateway_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    """Exit code 3, also where some rows could only have come later; all can be run again."""
    write_rows(tmp_path / "rows.csv", [*cats(2), {"key": "b", "prompt": "x", "extends": "cat-0"}])

    done = shell(None, tmp_path).run("batch", "rows.csv")

    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stderr


def without_codes(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_on_a_terminal_the_bar_moves(tmp_path: Path) -> None:
    """Counts and the estimated time left are shown, and at the end the sum; rows get no lines."""
    write_rows(tmp_path / "rows.csv", cats(12))
    with gateway() as sim:
        sim.faults.add(HELD_LOOKS)

        def let_some_end(shown: str) -> None:
            """Release looks one by one, so that the bar shows each count."""
            text = without_codes(shown)
            counted = re.findall(r"(\d+) of 12", text)
            if "3 running" in text and int(counted[-1]) == len(results(tmp_path / "rows")):
                sim.faults.clear()
                sim.faults.add(HELD_LOOKS)

        batch = ["batch", "rows.csv", "--max-tasks", "3"]
        code, shown, _ = shell(sim, tmp_path).on_a_terminal(*batch, watch=let_some_end)

    text = without_codes(shown)
    counted = [int(number) for number in re.findall(r"(\d+) of 12", text)]
    assert code == 0
    assert "\x1b[" in shown
    assert counted == sorted(counted)
    assert len(set(counted)) > 3
    assert "3 running" in text
    assert " left" in text
    assert "cat-3: videos" not in text
    assert "12 rows: 12 done." in text
    assert "Gallery: rows/gallery.html" in text


def test_a_terminal_on_which_nothing_can_move_gets_lines(tmp_path: Path) -> None:
    """An editor's, say."""
    write_rows(tmp_path / "rows.csv", cats(2))
    with gateway() as sim:
        dumb = Shell.at(sim, tmp_path, TERM="dumb")
        code, shown, _ = dumb.on_a_terminal("batch", "rows.csv")

    assert code == 0
    assert "cat-1: videos/cat-1.mp4" in shown
    assert "\x1b" not in shown


def test_on_a_terminal_the_bar_begins_where_the_last_run_ended(tmp_path: Path) -> None:
    """Rows of earlier runs count, apart from those of this run."""
    write_rows(tmp_path / "rows.csv", cats(5))
    with gateway() as sim:
        shell(sim, tmp_path).run("batch", "rows.csv", "--limit-jobs", "3")
        sim.faults.add(HELD_LOOKS)

        def let_all_end(shown: str) -> None:
            if "3 of 5" in shown:
                sim.faults.clear()

        _, shown, _ = shell(sim, tmp_path).on_a_terminal("batch", "rows.csv", watch=let_all_end)

    text = without_codes(shown)
    assert "3 of 5" in text
    assert re.findall(r"\d of 5", text)[-1] == "5 of 5"
    assert "2 done · 2 downloaded · 3 before" in text


def test_results_without_their_journal_are_not_paid_for_again(tmp_path: Path) -> None:
    """A journal may have been moved: only its user can know that it is lost."""
    write_rows(tmp_path / "rows.csv", cats(2))
    with gateway() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))
        shell(sim, tmp_path).run("batch", "rows.csv")
        (tmp_path / "rows" / "jobs.db").rename(tmp_path / "moved.db")

        refused = shell(sim, tmp_path).run("batch", "rows.csv")
        found = shell(sim, tmp_path).run("batch", "rows.csv", "--journal", "moved.db")

        assert len(sim.ledger.jobs) == 2
    assert refused.returncode == 1
    assert f"its journal was not found at {tmp_path}/rows/jobs.db" in refused.stderr
    assert found.returncode == 1
    assert "1 done, 1 uncertain" in found.stderr


def test_it_goes_on_when_nobody_hears_of_it(tmp_path: Path) -> None:
    """Neither stdout nor stderr has a reader, and there is something to tell."""
    write_rows(tmp_path / "rows.csv", cats(12))
    with gateway(variant=Variant(estimates=True, video="text")) as sim:
        sim.faults.add(
            Fault.explained(404, on=["link"])
        )  # each video has a watermark, with a warning
        with shell(sim, tmp_path).started("batch", "rows.csv") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            process.stderr.close()

            assert process.wait(PATIENCE) == 0

        assert len(sim.ledger.jobs) == len(results(tmp_path / "rows")) == 12


@pytest.mark.parametrize("number", TERMINATION_SIGNALS)
def test_what_was_just_sent_is_known_when_a_terminal_is_gone(number: int, tmp_path: Path) -> None:
    """No row becomes uncertain."""
    write_rows(tmp_path / "rows.csv", cats(6))
    with gateway(durations=Fixed(30)) as sim:
        sim.faults.add(Fault.slow(1, after=True))
        with shell(sim, tmp_path).started("batch", "rows.csv") as process:
            wait_for(lambda: sim.ledger.jobs)
            process.send_signal(number)
            process.communicate(timeout=PATIENCE)
        states = shell(sim, tmp_path).lines("jobs", "--journal", "rows/jobs.db")

    assert process.returncode == 130
    assert states
    assert {job["state"] for job in states} == {"running"}


def test_no_key_becomes_the_name_of_a_row(tmp_path: Path) -> None:
    """An API key as a row's key would be written to files, names and pages."""
    write_rows(tmp_path / "rows.csv", [{"key": "sk-" + "x" * 30, "prompt": "a cat"}])
    with gateway() as sim:
        done = shell(sim, tmp_path).run("batch", "rows.csv")

        assert sim.ledger.requests.total() == 0
    assert done.returncode == 2
    assert "looks like an API key" in done.stderr
    assert "xxx" not in done.stderr


def test_commands_that_are_told_name_no_password(tmp_path: Path) -> None:
    """Commands are in the gallery, and people share galleries."""
    options = BatchOptions(tmp_path / "-rows.csv", tmp_path / "out", limit_jobs=7)
    connection = Connection(None, "postgresql://me:secret@host/jobs?password=secret")

    told = [options.continue_command(connection), connection.journal_command("settle")]

    assert not any("secret" in each for each in told)
    assert "--limit-jobs=7" in told[0]
    assert "'--journal=postgresql://me:***@host/jobs?password=***'" in told[1]
