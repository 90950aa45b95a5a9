"""Next jobs: failures, delays, losses and rejections that a test has ordered in advance."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from luma_async.simulator.answers import Refusal

T = TypeVar("T")

_REJECTIONS = {
    400: ("invalid_request", "the request is not valid"),
    401: ("invalid_api_key", "the key is not valid"),
    402: ("insufficient_user_quota", "balance is not enough"),
    403: ("forbidden", "this key is not allowed to submit jobs"),
    413: ("too_large", "the image is too large"),
    422: ("invalid_request", "the prompt is not allowed"),
    429: ("rate_limit", "too many requests"),
}
"""Codes and messages of the usual rejections."""

_OTHER_REJECTION = ("refused", "the request was refused")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Answer to a submission that is not accepted."""

    status: int
    code: str
    message: str
    retry_after: float | None

    @classmethod
    def of(
        cls, status: int, message: str | None, *, code: str | None, retry_after: float | None
    ) -> Rejection:
        """Return a rejection, with the usual code and message of its status if none is given.

        Raises:
            ValueError: the status is not the status of an error.

        """
        if not 400 <= status <= 599:
            raise ValueError(f"status: must be between 400 and 599, got {status}")
        usual_code, usual_message = _REJECTIONS.get(status, _OTHER_REJECTION)
        return cls(status, code or usual_code, message or usual_message, retry_after)

    def answer(self, refusal: Refusal) -> web.Response:
        """Return the answer in the format of an API."""
        response = refusal(self.status, self.code, self.message)
        if self.retry_after is not None:
            response.headers["Retry-After"] = f"{self.retry_after:g}"
        return response


class Orders(deque[T]):
    """Queue of orders. Any thread may add some while the simulator's thread takes them."""

    def add(self, order: T, times: int) -> None:
        """Add an order that is carried out a number of times.

        Raises:
            ValueError: the number is less than 1.

        """
        if times < 1:
            raise ValueError(f"times: must be at least 1, got {times}")
        self.extend([order] * times)

    def take(self) -> T | None:
        """Remove and return the oldest order, or `None` if there is none."""
        try:
            return self.popleft()
        except IndexError:
            return None


class NextJobs:
    """Orders for the next jobs. The oldest order of each kind applies to the next job.

    Attributes:
        failures: failure reasons.
        delays: simulated seconds that a job takes longer.
        losses: jobs that are accepted, but whose answers are lost.
        rejections: answers to submissions that are not accepted. These use up no other order.

    """

    def __init__(self) -> None:
        self.failures: Orders[str] = Orders()
        self.delays: Orders[float] = Orders()
        self.losses: Orders[bool] = Orders()
        self.rejections: Orders[Rejection] = Orders()
