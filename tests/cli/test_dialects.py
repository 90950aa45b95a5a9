"""The option --dialect, and the commands for the kinds of jobs of Luma's own APIs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

from luma_async.cli.app import app
from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.connection import Connection
from luma_async.cli.follower import download_command, resume_command, watch_command
from luma_async.cli.options import DIALECTS, STRENGTHS
from luma_async.cli.target import DownloadTarget
from luma_async.dialects import DialectName
from luma_async.request_fields import EditStrength
from luma_async.settings import Settings
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import Shell
from tests.clients import HOUR
from tests.media.image_files import an_image

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
OFFLINE = {"jobs", "settle", "simulate"}


@pytest.fixture(scope="module")
def served() -> Iterator[Simulator]:
    """Serve one simulator for all tests of this module."""
    with running_simulator(durations=Fixed(1), short_side=64) as simulator:
        yield simulator


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - OFFLINE))
def test_every_command_that_talks_to_a_server_takes_a_dialect(name: str) -> None:
    """A key or a URL need not tell it."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}

    assert "--dialect" in options


def test_words_of_options_are_those_of_the_types() -> None:
    """Help and completion have copies, because to import the types would take too long."""
    assert set(DIALECTS) == set(get_args(DialectName))
    assert get_args(EditStrength) == STRENGTHS


def test_names_of_dialects_are_completed(tmp_path: Path) -> None:
    """As ratios are."""
    environment = {
        "_LUMA_ASYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": "luma-async get x --dialect d",
        "COMP_CWORD": "4",
    }

    assert Shell(tmp_path, more=environment).run().stdout.split() == ["dream-machine"]


def test_an_unknown_dialect_is_an_error(tmp_path: Path) -> None:
    """With the names that exist."""
    done = Shell(tmp_path, "https://a.example").run("get", "x", "--dialect", "sora")

    assert done.returncode == 2
    assert "dialect must be one of agents, dream-machine, gateway" in done.stderr


def test_printed_commands_carry_the_dialect() -> None:
    """A command that is copied from the terminal talks to the same API."""
    connection = Connection(settings=Settings({}), dialect="agents")
    options = BatchOptions(Path("rows.csv"), Path("rows"))

    printed = [
        options.repeat_command(connection),
        watch_command(connection, ["a"]),
        download_command(connection, ["a"], None),
        resume_command(connection, DownloadTarget()),
    ]

    assert all("--dialect=agents" in command for command in printed)
    assert "--dialect" not in connection.journal_command("settle")


def test_each_kind_of_job_has_a_command(served: Simulator, tmp_path: Path) -> None:
    """Sources are ids, paths and URLs; images may be outputs of jobs, too."""
    (tmp_path / "cat.png").write_bytes(an_image())
    shell = Shell.at(served, tmp_path, LUMA_DIALECT="agents")

    def submit(*arguments: str) -> str:
        [line] = shell.lines(*arguments, "--no-wait")
        served.advance(HOUR / 60)
        return str(line["id"])

    image = submit("image", "a cat", "--format", "jpeg", "--reference", "cat.png")
    red = submit("edit-image", image, "a red cat", "--key", "red")
    layers = submit("layers", "cat.png", "cat and roof", "--resolution", "1k")
    video = submit(
        *("generate", "it walks", "--keyframe", "0=cat.png"),
        *("--keyframe", f"48=generation:{red}", "--user-id", "me"),
    )
    hdr = submit("generate", "a roof", "--hdr", "--exr")
    edit = submit("edit", video, "in winter", "--strength", "flex_2")
    wide = submit("reframe", edit, "21:9", "more snow", "--source-position", "0.1 0 0.8 1")
    before = submit("extend", video, "it wakes", "--backward")

    ids = [image, red, layers, video, hdr, edit, wide, before]
    found = {line["id"]: line for line in shell.lines("download", *ids, "--what", "all")}
    suffixes = [[Path(file).suffix for file in found[id]["files"]] for id in ids]
    assert suffixes[:2] == [[".jpg"], [".jpg"]]
    assert set(suffixes[2]) == {".png"}
    assert len(suffixes[2]) > 1
    assert suffixes[3:] == [[".mp4"], [".mp4", ".exr"], [".mp4"], [".mp4"], [".mp4"]]
    assert [found[id]["type"] for id in ids] == [
        *("image", "image_edit", "layering"),
        *("video", "video", "video_edit", "video_reframe", "video"),
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["generate", "x", "--keyframe", "cat.png"], "'cat.png' is not a keyframe; write FRAME="),
        (["generate", "x", "--keyframe", "1=a", "--keyframe", "1=b"], "Frame 1 has two images"),
        (["reframe", "id", "1:1", "--source-position", "0 0"], "source_position: cannot be read"),
        (["edit", "nowhere.mp4", "x"], "nowhere.mp4"),
        (["edit", "id", "x", "--strength", "flex_9"], "strength: 'flex_9' is not valid"),
        (["layers", "id", "-o", "layers.png"], "is one file, but there are several outputs"),
        (["image", "x", "--aspect-ratio", "5:4"], "aspect_ratio: '5:4' is not valid"),
    ],
)
def test_wrong_words_are_explained(
    arguments: list[str], problem: str, served: Simulator, tmp_path: Path
) -> None:
    """Before anything is submitted."""
    before = len(served.ledger.jobs)

    done = Shell.at(served, tmp_path, LUMA_DIALECT="agents").run(*arguments)

    assert done.returncode in (1, 2)
    assert problem in " ".join(done.stderr.replace("│", " ").split())
    assert len(served.ledger.jobs) == before


def test_a_request_that_breaks_a_rule_is_not_shown_as_submitted(
    served: Simulator, tmp_path: Path
) -> None:
    """Its error is the only line."""
    shell = Shell.at(served, tmp_path, LUMA_DIALECT="agents")

    done = shell.run("generate", "a cat", "--hdr", "--resolution", "360p")

    assert done.returncode == 2
    assert done.stderr.startswith("resolution: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("dialect", "search"),
    [
        ("agents", "This API has no list of jobs: ask Luma's support for its job, by request id."),
        ("dream-machine", "list of jobs of the account: `luma-async list --dialect=dream-machine`"),
    ],
)
def test_an_uncertain_row_is_looked_for_at_its_own_server(
    dialect: str, search: str, served: Simulator, tmp_path: Path
) -> None:
    """The summary and the gallery say the same; the row's error names the request id."""
    (tmp_path / "rows.csv").write_text("key,prompt\ncat,a cat\n")
    served.faults.add(Fault.cut(after=True, times=1))

    done = Shell.at(served, tmp_path).run("batch", "rows.csv", "--dialect", dialect)

    page = unescape((tmp_path / "rows/gallery.html").read_text())
    assert "1 row is uncertain. " in done.stderr
    assert search in done.stderr
    assert search.replace("its job", "it").replace("'", "’") in page  # noqa: RUF001
    assert "gateway" not in done.stderr
    assert "request id" in page


def test_the_simulator_tells_the_urls_of_all_apis(tmp_path: Path) -> None:
    """Each official client has its own idea of a base URL. Accounts have limits if wanted."""
    shell = Shell(tmp_path)
    limits = ["--max-jobs", "1", "--max-per-minute", "7"]
    with shell.started("simulate", "--port", "0", "--json", *limits) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())

        key = {"Authorization": "Bearer any", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310  our own
            told["agents_url"] + "/generations", b'{"prompt": "a cat"}', key
        )
        with urllib.request.urlopen(request) as first:  # noqa: S310
            assert first.headers["X-RateLimit-Limit"] == "7"
        with pytest.raises(urllib.error.HTTPError, match="429") as refused:
            urllib.request.urlopen(request)  # noqa: S310
        refused.value.close()

    assert told["agents_url"] == told["url"] + "/v1"
    assert told["dream_machine_url"] == told["url"] + "/dream-machine/v1"
