"""Command line `luma-async`: its commands and the options that belong to none of them.

The modules of `commands/` hold each command's arguments and help. They import what the command
needs only when it runs, so that help, completion and `--version` appear at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from luma_async.cli.commands.batch import batch
from luma_async.cli.commands.credits import credits as credits_
from luma_async.cli.commands.delete import delete
from luma_async.cli.commands.demo import demo
from luma_async.cli.commands.download import download
from luma_async.cli.commands.edit import edit
from luma_async.cli.commands.edit_image import edit_image
from luma_async.cli.commands.extend import extend
from luma_async.cli.commands.generate import generate
from luma_async.cli.commands.get import get
from luma_async.cli.commands.image import image
from luma_async.cli.commands.jobs import jobs
from luma_async.cli.commands.layers import layers
from luma_async.cli.commands.list import list as list_
from luma_async.cli.commands.mcp import mcp
from luma_async.cli.commands.reframe import reframe
from luma_async.cli.commands.resume import resume
from luma_async.cli.commands.settle import settle
from luma_async.cli.commands.simulate import simulate
from luma_async.cli.commands.watch import watch
from luma_async.cli.exit_codes import EXPLANATION
from luma_async.cli.option_sets import with_option_sets
from luma_async.cli.verbosity import VerboseBefore, with_verbosity
from luma_async.version import __version__

app = typer.Typer(
    name="luma-async",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"luma-async {__version__}")
        raise typer.Exit


@app.callback(
    epilog="The API key comes from LUMA_API_KEY, in the environment or in a file .env in the "
    "current folder; for Luma's own hosts also from LUMA_AGENTS_API_KEY or LUMAAI_API_KEY. "
    "LUMA_BASE_URL, LUMA_DIALECT, LUMA_JOURNAL, LUMA_REJECTION_CODES, LUMA_MAX_DOWNLOAD_BYTES, "
    f"LUMA_MIN_DOWNLOAD_SPEED and LUMA_ALLOW_PRIVATE_MEDIA are read likewise. {EXPLANATION}"
)
def luma_async(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    verbose: VerboseBefore = 0,
) -> None:
    """Generate videos and images with Luma from a terminal."""


def _paragraphs(docstring: str) -> str:
    """Join the lines of each paragraph, because the help would keep the line breaks."""
    return "\n\n".join(" ".join(part.split()) for part in docstring.split("\n\n"))


# In the order of the help: single jobs, jobs known by id, batches, the journal,
# the account, agents, the simulator.
for _command in (
    *(generate, extend, edit, reframe),
    *(image, edit_image, layers),
    *(get, watch, download),
    batch,
    *(resume, jobs, settle),
    *(list_, delete, credits_),
    mcp,
    *(demo, simulate),
):
    _typed = with_verbosity(with_option_sets(_command))
    app.command(help=_paragraphs(_command.__doc__ or ""))(_typed)
