"""`luma-async demo`: run a batch with the simulated gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luma_async.cli.options import (
    DEFAULT_DEMO_FOLDER,
    DEFAULT_DEMO_SPEED,
    AsJSON,
    DialectName,
)


def demo(
    *,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the videos.")] = (
        DEFAULT_DEMO_FOLDER
    ),
    speed: Annotated[
        float,
        typer.Option(
            metavar="N", min=0.1, help="Speed of the simulated gateway: N seconds pass in one."
        ),
    ] = DEFAULT_DEMO_SPEED,
    dialect: DialectName = None,
    as_json: AsJSON = False,
) -> None:
    """Generate six videos and an extension with a simulated gateway. No API key is needed.

    With --dialect agents, generate also an edit, an HDR video, an image and its layers.
    """
    from luma_async.cli.demo_batch import run_demo
    from luma_async.cli.program import run

    run(
        lambda terminal: run_demo(terminal, folder, speed=speed, dialect=dialect or "gateway"),
        as_json=as_json,
    )
