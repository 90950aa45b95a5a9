"""Faults: errors of the server, the proxy or the network, on demand."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from luma_async.simulator.clock import Notifier

CallName = Literal[
    "generate",
    "extend",
    "get",
    "tasks",
    "link",
    "media",
    "callback",
    "agents.generate",
    "agents.get",
    "agents.create_file",
    "agents.list_files",
    "agents.get_file",
    "agents.delete_file",
    "agents.complete_file",
    "agents.upload",
    "dream-machine.generate",
    "dream-machine.image",
    "dream-machine.modify",
    "dream-machine.reframe_video",
    "dream-machine.reframe_image",
    "dream-machine.upscale",
    "dream-machine.audio",
    "dream-machine.get",
    "dream-machine.list",
    "dream-machine.delete",
    "dream-machine.concepts",
    "dream-machine.credits",
    "dream-machine.ping",
]
"""Names of the calls. Those of the gateway and of the media host have no prefix. `callback` is the
server's own call to a hook."""

SUBMISSIONS: tuple[CallName, ...] = (
    "generate",
    "extend",
    "agents.generate",
    "dream-machine.generate",
    "dream-machine.image",
    "dream-machine.modify",
    "dream-machine.reframe_video",
    "dream-machine.reframe_image",
    "dream-machine.upscale",
    "dream-machine.audio",
)
"""Calls that make a job."""

FILE_CALLS: tuple[CallName, ...] = ("media", "agents.upload")
"""Calls to signed links, without an API key."""

CALLBACKS: tuple[CallName, ...] = ("callback",)
"""Calls of the server itself."""

STREAMED: tuple[CallName, ...] = ("agents.create_file", "agents.upload")
"""Calls that read the body of the request themselves."""

_PAGE = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx/1.24.0</center>\r\n"
    "</body>\r\n</html>\r\n"
)
_REASONS = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Fault that affects some calls. The class methods create the usual ones.

    >>> Fault.cut(after=True, times=10)           # accepts the job, then cuts the connection
    ... # doctest: +SKIP
    >>> Fault.rate_limited(retry_after=1, share=0.1)   # doctest: +SKIP

    Args:
        on: names of the affected calls.
        after: `True` if the fault occurs after the server has processed the call, so that the job
            is accepted without an answer.
        times: number of times that the fault occurs; `None` for no limit.
        share: fraction of the calls that are affected.
        delay: real seconds by which the call is delayed. The delay ends early when the faults are
            cleared, so `math.inf` holds calls for as long as a test wants.
        reused: `True` if only requests on a reused connection are affected.
        drop: `True` to close the connection without an answer.
        closes: `True` to close the connection after the answer, without `Connection: close`.
        status, body, headers: an answer in place of the right one.
        cut_after: for files: number of bytes of each answer after which the connection is cut.
        bytes_per_second: for files: download speed.
        ranges: for files: `False` to ignore the header `Range`.
        validators: for files: `False` to leave out `ETag` and `Last-Modified`.
        miscounts: for files: number of bytes by which `Content-Length` is too large.
        copies: for callbacks: number of times that one is sent again.

    """

    on: Collection[CallName] = SUBMISSIONS
    after: bool = False
    times: int | None = None
    share: float = 1.0
    reused: bool = False
    delay: float = 0.0
    drop: bool = False
    closes: bool = False
    status: int | None = None
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None
    bytes_per_second: float | None = None
    ranges: bool = True
    validators: bool = True
    miscounts: int = 0
    copies: int = 0

    @classmethod
    def cut(cls, **where: Any) -> Self:
        """Cut the connection in place of an answer."""
        return cls(drop=True, **where)

    @classmethod
    def closing(cls, **where: Any) -> Self:
        """Answer correctly, then close the connection without `Connection: close`."""
        return cls(closes=True, **where)

    @classmethod
    def slow(cls, seconds: float, **where: Any) -> Self:
        """Answer correctly after a delay in seconds."""
        return cls(delay=seconds, **where)

    @classmethod
    def repeated(cls, copies: int = 1, **where: Any) -> Self:
        """Send each callback again. `cut` loses callbacks, and `slow` delays them."""
        return cls(copies=copies, on=CALLBACKS, **where)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = None, **where: Any) -> Self:
        """Answer 429, with a `Retry-After` if given (seconds or an HTTP date)."""
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        body = b'{"error": {"message": "too many requests", "type": "rate_limit", "code": "429"}}'
        return cls(status=429, body=body, headers=headers, **where)

    @classmethod
    def page(cls, status: int = 502, **where: Any) -> Self:
        """Answer with the HTML page of a reverse proxy."""
        text = _PAGE.format(status=status, reason=_REASONS.get(status, "Error"))
        return cls(
            status=status, body=text.encode(), headers=(("Content-Type", "text/html"),), **where
        )

    @classmethod
    def explained(cls, status: int = 500, **where: Any) -> Self:
        """Answer with an error in JSON."""
        upstream = b'{"error": {"message": "upstream is overloaded", "code": "upstream_error"}}'
        gateway = b'{"error": {"message": "this is refused", "code": "refused"}}'
        return cls(status=status, body=upstream if status >= 500 else gateway, **where)

    @classmethod
    def answer(cls, body: bytes, *, status: int = 200, **where: Any) -> Self:
        """Answer with a given body, such as `{}`."""
        return cls(status=status, body=body, **where)


@dataclass(slots=True)
class _ActiveFault:
    fault: Fault
    left: int | None


@dataclass(slots=True)
class Faults:
    """Active faults of a simulator. Any thread may add and clear some."""

    chance: random.Random
    cleared: Notifier = field(default_factory=Notifier)
    _active: list[_ActiveFault] = field(default_factory=list)

    def add(self, *faults: Fault) -> None:
        """Activate faults. If several affect a call, they occur in the order of activation."""
        self._active.extend(_ActiveFault(fault, fault.times) for fault in faults)

    def clear(self) -> None:
        """Deactivate all faults, and release delayed calls at once."""
        self._active.clear()
        self.cleared.notify_all()

    async def delay(self, fault: Fault) -> None:
        """Wait for the delay of a fault, or until the faults are cleared."""
        await self.cleared.wait(lambda: fault.delay if self._is_active(fault) else 0.0)

    def _is_active(self, fault: Fault) -> bool:
        return any(active.fault is fault for active in self._active)

    def due(self, call: str, *, after: bool, reused: bool) -> Iterator[Fault]:
        """Yield and use up the faults of one call, before or after it is processed."""
        for active in self._active:
            fault = active.fault
            if call not in fault.on or fault.after is not after or active.left == 0:
                continue
            if (fault.reused and not reused) or self.chance.random() >= fault.share:
                continue
            if active.left is not None:
                active.left -= 1
            yield fault
