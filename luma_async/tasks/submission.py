"""Submission: a job that is asked for, as data."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal, NamedTuple

from luma_async.models import ExtendRequest, GenerateRequest

Verb = Literal["generate", "extend"]

RetryUncertain = bool | Literal["once"]
"""Whether a submission that may have been accepted is sent again, at the risk of paying twice.

`True` repeats it until an answer comes or the tries are used up. `"once"` sends one that is
uncertain when the call or the run begins a single time more, and repeats none of its own.
"""


class Retries(NamedTuple):
    """The earlier submissions that a call or a run may send again under their keys.

    `failed` is about jobs that failed or were lost. `uncertain` is about submissions that may have
    been accepted: all of them, none, or those with these claims, which a call finds when it begins.
    One that becomes uncertain later may be a repeat of the same by somebody else.
    """

    failed: bool = False
    uncertain: bool | AbstractSet[str] = False

    def may_repeat(self, claim: str) -> bool:
        """Return whether an uncertain submission may be sent again."""
        return self.uncertain if isinstance(self.uncertain, bool) else claim in self.uncertain


class Submission(NamedTuple):
    """A new job, or the extension of the finished job `source_id`.

    `request` is what was asked for, `sent` the same with its pictures read.
    """

    request: GenerateRequest | ExtendRequest
    sent: GenerateRequest | ExtendRequest
    source_id: str | None = None

    @property
    def verb(self) -> Verb:
        """Which call submits it."""
        return "generate" if self.source_id is None else "extend"

    @property
    def kind(self) -> str:
        """What tells how long the job may take: submissions of a kind take about as long."""
        return kind_of(self.verb, self.request.__dict__)


def kind_of(verb: str, fields: Mapping[str, Any]) -> str:
    """Return the kind of a submission with these fields."""
    chosen = (fields.get("model"), fields.get("resolution"), fields.get("duration"))
    return " ".join((verb, *(str(choice) for choice in chosen if choice)))
