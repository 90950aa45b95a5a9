"""Stats: the figures of a client at one moment."""

from __future__ import annotations

from pydantic import Field

from luma_async.field_docs import with_field_docs
from luma_async.generation import FrozenModel


@with_field_docs("Attributes")
class Stats(FrozenModel):
    """Figures of a `LumaClient` at one moment, from `LumaClient.stats()`.

    The numbers of `pending` and `processing` jobs, of requests in flight and of connections are
    those of now. All others count from the creation of the client, and never fall.
    """

    pending: int = Field(description="Watched jobs that are pending.")
    processing: int = Field(description="Watched jobs that are processing.")
    completed: int = Field(description="Jobs that ended as completed while they were watched.")
    failed: int = Field(description="Jobs that failed while they were watched.")
    lost: int = Field(description="Jobs that the server no longer knew.")
    timed_out: int = Field(description="Jobs that did not end within `task_timeout`.")
    abandoned: int = Field(
        description="Running jobs that are no longer watched: forgotten, with a rejected API key, "
        "or of a closed client."
    )
    accepted: int = Field(description="Submissions that the server accepted.")
    rejected: int = Field(description="Submissions that were rejected, or could not be sent.")
    uncertain: int = Field(description="Submissions that may have been accepted.")
    polls: int = Field(description="Status requests of the poller and of `get()` or `get_many()`.")
    polled_jobs: int = Field(
        description="Jobs in the looks of the poller; one look may cover many jobs."
    )
    lateness_mean: float | None = Field(
        description="Mean lateness in seconds of the latest 1,000 jobs that ended; `None` before "
        "the first end. The lateness of a job is half the time between the last look that saw it "
        "running and the one that saw its end: the expected delay of the result."
    )
    lateness_median: float | None = Field(description="Median lateness of these jobs.")
    lateness_max: float | None = Field(description="Maximum lateness of these jobs.")
    requests: int = Field(description="HTTP requests to the server, without those for files.")
    retries: int = Field(description="Requests among these that repeated a failed one.")
    requests_in_flight: int = Field(description="Requests whose answer has not arrived yet.")
    connections: int = Field(
        description="Open connections to the server. With a session of yours, all of its "
        "connections."
    )
    idle_connections: int = Field(description="Connections among these that are not in use.")
    downloads: int = Field(description="Files that were downloaded.")
    failed_downloads: int = Field(description="Downloads that failed, or were cancelled.")
    downloaded_bytes: int = Field(description="Size of the downloaded files, in bytes.")

    @property
    def running(self) -> int:
        """Number of watched jobs, pending and processing ones."""
        return self.pending + self.processing
