"""What goes wrong on demand."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from luma_async.simulator.clock import Bell

CallName = Literal["generate", "extend", "get", "tasks", "link", "media"]
SUBMISSIONS: tuple[CallName, ...] = ("generate", "extend")

_PAGE = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx/1.24.0</center>\r\n"
    "</body>\r\n</html>\r\n"
)
_REASONS = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with some calls; the class methods make the usual ones.

    >>> Fault.cut(after=True, times=10)           # takes the job, then cuts the connection
    ... # doctest: +SKIP
    >>> Fault.rate_limited(retry_after=1, share=0.1)   # doctest: +SKIP

    Args:
        on: the calls it befalls.
        after: whether the server does its part first: takes the job, then fails to say so.
        times: how often it happens, always if `None`.
        share: the part of the calls that it befalls while it lasts.
        delay: real seconds to wait first, or until the faults are cleared; `math.inf` holds calls
            for as long as a test wants.
        reused: only where the connection has carried a request before.
        drop: close the connection without an answer.
        closes: close the connection right after the answer, without a `Connection: close`.
        status, body, headers: the answer instead of the proper one.
        cut_after: on media, the bytes of each answer after which the connection is cut.
        bytes_per_second: on media, how slowly the file comes.
        ranges: on media, whether a part of a file can be asked for.
        validators: on media, whether the answer says which version of the file it is.
        miscounts: on media, the bytes by which the length that is said is too long.

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

    @classmethod
    def cut(cls, **where: Any) -> Self:
        """Cut the connection instead of an answer."""
        return cls(drop=True, **where)

    @classmethod
    def closing(cls, **where: Any) -> Self:
        """Answer rightly, and close the connection then, without having said so."""
        return cls(closes=True, **where)

    @classmethod
    def slow(cls, seconds: float, **where: Any) -> Self:
        """Answer rightly, and late."""
        return cls(delay=seconds, **where)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = None, **where: Any) -> Self:
        """Answer 429, with `Retry-After` if given (seconds or an HTTP date)."""
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        body = b'{"error": {"message": "too many requests", "type": "rate_limit", "code": "429"}}'
        return cls(status=429, body=body, headers=headers, **where)

    @classmethod
    def page(cls, status: int = 502, **where: Any) -> Self:
        """Answer with an HTML page of the proxy in front."""
        text = _PAGE.format(status=status, reason=_REASONS.get(status, "Error"))
        return cls(
            status=status, body=text.encode(), headers=(("Content-Type", "text/html"),), **where
        )

    @classmethod
    def explained(cls, status: int = 500, **where: Any) -> Self:
        """Refuse, and explain it in JSON."""
        upstream = b'{"error": {"message": "upstream is overloaded", "code": "upstream_error"}}'
        gateway = b'{"error": {"message": "this is refused", "code": "refused"}}'
        return cls(status=status, body=upstream if status >= 500 else gateway, **where)

    @classmethod
    def answer(cls, body: bytes, *, status: int = 200, **where: Any) -> Self:
        """Answer with any bytes, such as `{}`."""
        return cls(status=status, body=body, **where)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int | None


@dataclass(slots=True)
class Faults:
    """The faults that are armed."""

    chance: random.Random
    cleared: Bell = field(default_factory=Bell)
    _armed: list[_Armed] = field(default_factory=list)

    def add(self, *faults: Fault) -> None:
        """Arm faults; of several that befall a call, each happens in the order of arming."""
        self._armed.extend(_Armed(fault, fault.times) for fault in faults)

    def clear(self) -> None:
        """Let everything go right again, and the calls that are being delayed go on at once."""
        self._armed.clear()
        self.cleared.ring()

    def due(self, call: str, *, after: bool, reused: bool) -> Iterator[Fault]:
        """Use up and yield what befalls this call, before or after the server did its part."""
        for armed in self._armed:
            fault = armed.fault
            if call not in fault.on or fault.after is not after or armed.left == 0:
                continue
            if (fault.reused and not reused) or self.chance.random() >= fault.share:
                continue
            if armed.left is not None:
                armed.left -= 1
            yield fault
