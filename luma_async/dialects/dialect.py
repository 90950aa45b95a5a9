"""What the rest of the house expects of a dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from luma_async.dialects.fields import JSONObject
from luma_async.generation import Generation
from luma_async.requests import ExtendRequest, GenerateRequest
from luma_async.transport.call import Call

Mark = tuple[object, ...]


class Dialect(Protocol):
    """Builds each call as data. What a dialect cannot say raises `ConfigurationError`."""

    @property
    def default_base_url(self) -> str:
        """Where this dialect is spoken when the user names no place."""

    @property
    def supports_batch(self) -> bool:
        """Whether one call can ask for many jobs."""

    @property
    def takes_image_data(self) -> bool:
        """Whether an image may come with a request, as a data URI; else only its URL may."""

    def generate(self, request: GenerateRequest) -> Call[Generation]:
        """Submit a new job."""

    def extend(self, source_id: str, request: ExtendRequest) -> Call[Generation]:
        """Submit a job that continues a finished one."""

    def get(self, id: str) -> Call[JSONObject]:
        """Look at one job, as the row that tells of it."""

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        """Look at many jobs, as rows by id; those that the server leaves out are absent.

        A row is empty where the answer contradicts itself: it names a job twice, and differently.
        """

    def generation(self, row: JSONObject) -> Generation:
        """Read what a row says; it becomes `Generation.raw`. Never raises.

        Apart from the looks themselves, for a row that has not changed need not be read again.
        """

    def ids(self, row: JSONObject) -> Sequence[str]:
        """Return every id that a row names its job by. Never raises."""

    def mark(self, row: JSONObject) -> Mark:
        """Return what of a row tells how far a running job is: equal marks, no news. Cheap."""

    def watermark_free_url(self, id: str) -> Call[str]:
        """Ask for a link to the video without a watermark."""
