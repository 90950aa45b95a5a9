"""Simulator: a whole gateway and Luma's own APIs on loopback, with faults and real videos.

>>> async with Simulator(speed=20) as sim:                        # doctest: +SKIP
...     async with LumaClient("any-key", base_url=sim.url) as luma:
...         video = await (await luma.generate("a cat dances"))
...     assert len(sim.ledger.jobs) == 1

It needs no API key and no network, and costs nothing. It implements the wire format on its own and
shares no code with the client, so that an error in one of them is not repeated in the other.
"""

from luma_async.extras import needing

with needing("av", "PIL", user="luma_async.simulator", extra="simulator"):
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
