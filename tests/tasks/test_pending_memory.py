"""A pending job takes little memory, even with a long row."""

from __future__ import annotations

import gc
import sys
import tracemalloc

from luma_async import GatewayDialect, Generation, State
from luma_async.simulator import Simulator
from tests.clients import HOUR, connect
from tests.rows import full_row

JOBS = 500

LIMIT = 2048 if sys.version_info < (3, 13) else 2304
"""Bytes for a job. From Python 3.13 on, each model has room for 30 attributes set aside."""


async def test_a_pending_job_with_a_full_row_takes_little_memory() -> None:
    """The limit includes the row, the handle and the entry on the agenda."""
    dialect = GatewayDialect()
    for number in range(50):  # of another origin, such as a journal
        Generation(id=f"{number}", state=State.PENDING)
    async with Simulator() as sim, connect(sim, task_timeout=HOUR) as luma:
        luma._manager.add(dialect.generation(full_row(0)))
        gc.collect()
        tracemalloc.start()
        try:
            tasks = [luma._manager.add(dialect.generation(full_row(n))) for n in range(1, JOBS + 1)]
            gc.collect()
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert len({task.id for task in tasks}) == JOBS
    assert taken / JOBS <= LIMIT
