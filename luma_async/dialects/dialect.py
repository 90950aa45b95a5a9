"""What the rest of the house expects of a dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from luma_async.dialects.fields import JSONObject
from luma_async.models import ExtendRequest, GenerateRequest, Generation
from luma_async.transport.call import Call


class Dialect(Protocol):
    """Builds each call as data. What a dialect cannot say raises `ConfigurationError`."""

    @property
    def default_base_url(self) -> str:
        """Where this dialect is spoken when the user names no place."""

    @property
    def supports_batch(self) -> bool:
        """Whether one call can ask for many jobs."""

    def generate(self, request: GenerateRequest) -> Call[Generation]:
        """Submit a new job."""

    def extend(self, source_id: str, request: ExtendRequest) -> Call[Generation]:
        """Submit a job that continues a finished one."""

    def get(self, id: str) -> Call[Generation]:
        """Look at one job."""

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        """Look at many jobs, as rows by id; those that the server leaves out are absent.

        What has not changed since the last look need not be read again, so `generation` does that.
        """

    def generation(self, row: JSONObject) -> Generation:
        """Read a row of `get_many`; it becomes `Generation.raw`. Never raises."""

    def watermark_free_url(self, id: str) -> Call[str]:
        """Ask for a link to the video without a watermark."""
