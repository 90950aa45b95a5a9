"""Environments in which programs with other clients reach servers on loopback."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from luma_async.simulator import Simulator
from tests.other_clients.fal_queue import FalQueue
from tests.other_clients.replicate_api import ReplicateAPI
from tests.other_clients.stand_in import StandIn, running, trusted

LEAVES_SOCKETS_OPEN = ("fal_client", "replicate")
"""Clients that have no method to close their connections."""

_AT_SIMULATOR = {
    "lumaai": ("LUMAAI_API_KEY", "LUMAAI_BASE_URL", "/dream-machine/v1"),
    "luma_agents": ("LUMA_AGENTS_API_KEY", "LUMA_BASE_URL", "/v1"),
}
_STAND_INS: dict[str, type[StandIn]] = {"fal_client": FalQueue, "replicate": ReplicateAPI}


def other_clients_in(program: str) -> set[str]:
    """Return the names of the other clients that a program imports."""
    imported = re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE)
    return {*_AT_SIMULATOR, *_STAND_INS}.intersection(imported)


class StandIns:
    """The servers of fal and Replicate, each started when a program needs it for the first time.

    Args:
        folder: the folder for the certificate of their authority.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, StandIn] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def environment(self, clients: Iterable[str], simulator: Simulator) -> dict[str, str]:
        """Return the variables for clients, of which Luma's own talk to a simulator."""
        found: dict[str, str] = {}
        for name in clients:
            if name in _AT_SIMULATOR:
                api_key, base_url, path = _AT_SIMULATOR[name]
                found |= {api_key: "sk-simulated", base_url: f"{simulator.url}{path}"}
                continue
            if name not in self._running:
                self._running[name] = self._stack.enter_context(running(_STAND_INS[name]()))
            found |= self._running[name].environment() | trusted(self._folder)
        return found
