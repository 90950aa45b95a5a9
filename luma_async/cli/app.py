"""The commands."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from luma_async.cli.demo import run_demo
from luma_async.cli.journal import default_place, settle_job, show_jobs
from luma_async.cli.simulate import run_simulator
from luma_async.errors import InvalidRequestError, LumaError
from luma_async.journal import EntryState
from luma_async.version import __version__

app = typer.Typer(
    name="luma-async",
    help="Luma video generation, from a terminal.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"luma-async {__version__}")
        raise typer.Exit


@app.callback()
def luma_async(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """Luma video generation, from a terminal."""


@app.command()
def demo(
    *,
    folder: Annotated[Path, typer.Option(help="Where the videos go.")] = Path("luma-demo"),
    speed: Annotated[
        float, typer.Option(min=0.1, help="How many times faster than real the server works.")
    ] = 10.0,
) -> None:
    """Make six videos at once and extend one, against a simulated gateway. No key needed."""
    try:
        asyncio.run(run_demo(folder, speed=speed))
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        raise typer.Exit(130) from None
    except (LumaError, OSError) as error:
        typer.echo(f"The demo failed: {error}", err=True)
        raise typer.Exit(1) from None


Journal = Annotated[
    str,
    typer.Option(
        "--journal", default_factory=default_place, show_default="LUMA_JOURNAL", help="Path or URL."
    ),
]


@app.command()
def jobs(
    *,
    journal: Journal,
    state: Annotated[
        EntryState | None, typer.Option(help="Only those that stand so; uncertain, for one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """List the jobs of a journal."""
    _run(show_jobs(journal, state=state, as_json=as_json))


@app.command()
def settle(
    *,
    key: Annotated[str, typer.Argument(help="The job's key, as `jobs --state uncertain` has it.")],
    journal: Journal,
    id: Annotated[str | None, typer.Option(help="It was taken, and this is its task.")] = None,
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="It was not taken: its key may be submitted anew.")
    ] = False,
) -> None:
    """Say what became of a job that is uncertain, as the gateway's list of tasks tells it."""
    _run(settle_job(journal, key, id=id, resubmit=resubmit))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except InvalidRequestError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except LumaError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def simulate(
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="A free one if 0.")] = 8765,
    speed: Annotated[
        float, typer.Option(min=0.01, help="How many simulated seconds pass in a real one.")
    ] = 1.0,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="What half of the jobs take less than.")
    ] = 60.0,
    failure_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The part of the jobs that fail.")
    ] = 0.0,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="LUMA_SIMULATOR_KEY", help="The one key accepted; any if not given."),
    ] = None,
) -> None:
    """Run a whole gateway on this machine that bills nobody and makes real MP4s, until Ctrl-C."""
    try:
        asyncio.run(
            run_simulator(
                host=host,
                port=port,
                speed=speed,
                median=seconds,
                failure_rate=failure_rate,
                api_key=api_key,
            )
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(f"Cannot listen on {host}:{port}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
