"""`luma-async batch --max-tasks-scope journal`: batches that run at once share one limit."""

from __future__ import annotations

from pathlib import Path

from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.connection import Connection
from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.cli.commands import PATIENCE, Shell


def test_batches_at_once_keep_one_limit(tmp_path: Path) -> None:
    """Two batches with one journal run one job at a time, and both are completed."""
    shared = ["--max-tasks", "1", "--max-tasks-scope", "journal", "--journal", "shared.db"]
    for name in ("cats", "dogs"):
        rows = [f"{name}-{number},{name} dance {number}" for number in range(3)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["key,prompt", *rows]))
    with running_simulator(durations=Fixed(0.1), short_side=90, same_films=True) as sim:
        shell = Shell.at(sim, tmp_path)
        with shell.started("batch", "cats.csv", *shared) as cats:
            dogs = shell.run("batch", "dogs.csv", *shared)
            _, said = cats.communicate(timeout=PATIENCE)
        assert sim.ledger.most_jobs == 1
        assert len(sim.ledger.jobs) == 6
    assert (cats.returncode, dogs.returncode) == (0, 0), said


def test_the_command_that_continues_keeps_the_limit() -> None:
    """It is shown when a batch was stopped."""
    options = BatchOptions(Path("a.csv"), Path("a"), max_tasks=30, max_tasks_scope="journal")
    command = options.continue_command(Connection(journal="postgresql://user@host/jobs"))
    assert command == (
        "luma-async batch a.csv --max-tasks-scope=journal --journal=postgresql://user@host/jobs "
        "--max-tasks=30"
    )
