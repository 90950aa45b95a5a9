"""Dialect: the interface of a server format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from luma_async.dialects.account import Credits, Page
from luma_async.dialects.fields import JSONObject
from luma_async.generation import Generation
from luma_async.requests import JobRequest
from luma_async.transport.call import Call

Mark = tuple[object, ...]
"""Comparable summary of a row. See `Dialect.mark()`."""


class Dialect(Protocol):
    """Server format: builds each call as data, and parses the answers.

    A method for a call that the server does not have raises `UnsupportedError`. The base class
    `NoAccountCalls` has such methods for the calls about an account. A dialect whose server takes
    uploads of files has a further attribute `files`, a `FileCalls`.
    """

    @property
    def name(self) -> str:
        """Name for messages and settings, such as `gateway`."""

    @property
    def default_base_url(self) -> str:
        """Base URL that is used if the user sets none."""

    @property
    def supports_batch(self) -> bool:
        """`True` if one call can poll many jobs."""

    @property
    def supports_callbacks(self) -> bool:
        """`True` if the server calls the `notify_hook` of a request."""

    @property
    def path_prefix(self) -> str:
        """Path with which the paths of all calls begin, such as `/v1`; empty if there is none.

        A base URL that ends with it means the same as one without it.
        """

    def check(self, request: JobRequest, *, has_source: bool) -> None:
        """Check a request before anything is read or sent.

        The fields are those of the request's class. Reject all that the server would ignore,
        because the job is paid for. `has_source` is `True` if the request works on the output of a
        job, whose id is given to `submission()`.

        Raises:
            UnsupportedError: the server does not offer this kind of request, or one of its fields.
            InvalidRequestError: a field breaks a rule of the server. All problems are in the error.

        """

    def linked_outputs(self, request: JobRequest, source_id: str | None) -> dict[str, str]:
        """Return the outputs of jobs that the server takes as links only, and not as ids.

        The result maps their places in the request, such as `media`, to the ids of the jobs. It is
        empty for most servers. The client looks the links up, and puts them into the request. If
        one is for `media`, `submission()` gets no `source_id`.
        """

    def submission(self, request: JobRequest, source_id: str | None) -> Call[Generation]:
        """Build the call that submits a job for a request that has passed `check()`.

        The call has `submits=True`. The images of the request are URLs, references or `Image`s; a
        `Body` sends the latter. `source_id` is the id of the job whose output it works on.
        """

    def get(self, id: str) -> Call[JSONObject]:
        """Build the call that polls one job. Its result is a row: the JSON object of the job.

        The call has `looks=True`.
        """

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        """Build the call that polls many jobs. Its result maps ids to rows.

        It is used if `supports_batch` is `True`, and has `looks=True`. Jobs that are not
        in the answer are not in the result. A job that is in the answer twice, with different rows,
        has an empty row.
        """

    def generation(self, row: JSONObject) -> Generation:
        """Parse a row. The row becomes `Generation.raw`. Never raises.

        Parsing is apart from polling, because an unchanged row need not be parsed again.
        """

    def ids(self, row: JSONObject) -> Sequence[str]:
        """Return all ids of the job in a row. Never raises."""

    def mark(self, row: JSONObject) -> Mark:
        """Return a summary of a row. It changes whenever the job has made progress. Cheap."""

    def watermark_free_url(self, id: str) -> Call[str]:
        """Build the call for a link to the video without a watermark."""

    def page(self, *, offset: int, limit: int) -> Call[Page]:
        """Build the call for at most `limit` jobs of the account, the newest first."""

    def delete(self, id: str) -> Call[None]:
        """Build the call that deletes a job at the server."""

    def credits(self) -> Call[Credits]:
        """Build the call for the balance of the account."""

    def concepts(self) -> Call[tuple[str, ...]]:
        """Build the call for the names of the concepts that a video can follow."""
