"""Processes behind one address: each may get the callbacks about jobs of the others."""

from __future__ import annotations

import asyncio

from aiohttp import web

from luma_async import LumaClient, SQLJournal, WebhookReceiver
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, KEY


async def test_callbacks_find_their_process_behind_one_address(place: str) -> None:
    """A front that hands each one to the wrong process: the job resolves at once all the same."""
    receivers = [WebhookReceiver("http://127.0.0.1:1/hook") for _ in range(2)]
    statuses: list[int] = []

    async def front(request: web.Request) -> web.Response:
        hooks = [str(job.request["notify_hook"]) for job in sim.ledger.jobs]
        owner = hooks.index(str(request.url)) % 2  # they submit in turn
        receiver = receivers[1 - owner]
        statuses.append(receiver.receive(request.match_info["token"], await request.read()))
        return web.Response(status=statuses[-1])

    app = web.Application()
    app.add_routes([web.post("/hook/{token}", front)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for receiver in receivers:
        receiver.public_url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with (
            Simulator(durations=Fixed(HOUR), short_side=64, same_films=True) as sim,
            SQLJournal(place) as journal,
            SQLJournal(place) as other_journal,
            LumaClient(
                KEY, base_url=sim.url, webhook=receivers[0], journal=journal, batch_size=1
            ) as luma,
            LumaClient(
                KEY, base_url=sim.url, webhook=receivers[1], journal=other_journal, batch_size=1
            ) as other,
        ):
            tasks = [await each.generate("a cat dances") for each in (luma, other) * 4]
            sim.advance(HOUR)
            async with asyncio.timeout(10):
                await asyncio.gather(*tasks)

            assert statuses == [204] * 16
            assert sim.ledger.requests["get"] <= 2 * len(tasks)
    finally:
        await runner.cleanup()
