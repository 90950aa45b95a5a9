"""Schemathesis: a program of somebody else that makes requests of a contract, valid and not.

It tests the boundaries of each field, random bodies, and chains of calls that follow from each
other, and checks each answer: its status, content type, headers and schema are in the contract,
data that breaks the contract is rejected, an API key is needed, and a deleted object is gone.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.contracts.openapi import OLD_PATH, Api, contract

KEY = "a-key"

PROGRAM = Path(sys.executable).parent / "schemathesis"

LEFT_OUT: dict[Api, str] = {
    "agents": "positive_data_acceptance,use_after_free",
    "dream-machine": "positive_data_acceptance",
}
"""Checks that are left out: many rules, such as fields that exclude each other, are in no schema.
And a file of the Agents API is deleted softly, so its record stays, with the state `deleted`."""

SETTINGS = "phases.stateful.checks.negative_data_rejection.enabled = false"
"""Other phases show that invalid data is rejected. In chains, the program reports forms as invalid
that it calls "positive test case" itself, if it has taken a value from one answer for another
request."""


@contextmanager
def fuzzed_simulator() -> Iterator[Simulator]:
    """Run a simulator whose jobs end quickly, so that calls on finished jobs are reached."""
    server = logging.getLogger("aiohttp.server")
    server.addFilter(_is_no_probe)
    try:
        with running_simulator(api_key=KEY, durations=Fixed(0.02), short_side=64) as sim:
            yield sim
    finally:
        server.removeFilter(_is_no_probe)


def _is_no_probe(record: logging.LogRecord) -> bool:
    """Leave out the complaint about a header with a null byte, which the program sends at first."""
    error = record.exc_info[1] if record.exc_info else None
    return "X-Schemathesis-Probe-Null" not in str(error)


def run_schemathesis(api: Api, url: str, folder: Path, *options: str) -> str:
    """Test an API with a number of examples. Return a report, which is empty if all is well."""
    document = contract(api)
    for schema in document["components"]["schemas"].values():
        # A random URL is not to be called, so none is made.
        schema.get("properties", {}).pop("callback_url", None)
    (folder / "schemathesis.toml").write_text(SETTINGS, "utf-8")
    path = folder / f"{api}.json"
    path.write_text(json.dumps(document), "utf-8")
    ended = subprocess.run(
        [
            PROGRAM,
            "run",
            path,
            *("--url", url, "--header", f"Authorization: Bearer {KEY}"),
            *("--exclude-checks", LEFT_OUT[api], "--generation-database", "none", "--no-color"),
            *("--exclude-operation-id", OLD_PATH),  # the same call as that of another path
            *("--warnings", "off", "--output-truncate", "false", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr
