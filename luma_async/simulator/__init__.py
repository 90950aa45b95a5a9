"""A whole gateway on loopback: every call, every variant, faults on demand, real videos.

>>> async with Simulator(speed=20) as sim:                        # doctest: +SKIP
...     async with LumaClient("any key", base_url=sim.url) as luma:
...         video = await (await luma.generate("a cat dances"))
...     assert len(sim.ledger.jobs) == 1

It takes no key and no network, and bills nobody. It knows the wire only and shares no code with
the client that reads it, so that the two can disagree.
"""

from luma_async.simulator.durations import Durations, Exponential, Fixed, LogNormal
from luma_async.simulator.faults import Fault
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.simulator import Simulator
from luma_async.simulator.variant import Variant

__all__ = [
    "Durations",
    "Exponential",
    "Fault",
    "Fixed",
    "Ledger",
    "LogNormal",
    "Simulator",
    "Variant",
]
