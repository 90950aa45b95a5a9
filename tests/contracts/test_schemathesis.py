"""The simulator's answers keep to the contracts, as somebody else's program reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.openapi import Api
from tests.contracts.schemathesis_run import fuzzed_simulator, run_schemathesis

APIS: list[Api] = ["agents", "dream-machine"]


@pytest.mark.parametrize("api", APIS)
def test_the_boundaries_of_each_field(api: Api, tmp_path: Path) -> None:
    """No answer breaks the contract, and none is a 5xx. The requests are the same in each run."""
    with fuzzed_simulator() as sim:
        report = run_schemathesis(api, sim.url, tmp_path, *SHORT)
        assert not report, report
        assert sim.ledger.jobs
        assert not any(status >= 500 for status in sim.ledger.statuses)


@pytest.mark.long
@pytest.mark.parametrize("api", APIS)
def test_random_requests_and_chains_of_calls(api: Api, tmp_path: Path) -> None:
    """A run with other requests each time, of which the report names the seed."""
    with fuzzed_simulator() as sim:
        report = run_schemathesis(api, sim.url, tmp_path, "--max-examples", "500")
        assert not report, report
        assert len(sim.ledger.jobs) > 20
        assert not any(status >= 500 for status in sim.ledger.statuses)


SHORT = ("--phases", "coverage,stateful", "--max-examples", "3", "--seed", "1")
"""Options of a run of a few seconds."""
