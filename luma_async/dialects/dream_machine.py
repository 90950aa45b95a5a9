"""Dream Machine dialect: `/dream-machine/v1`, Luma's earlier API, at Luma's host or a gateway's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from pydantic_core import to_json

from luma_async.dialects.accepted_job import accepted_job
from luma_async.dialects.account import Credits, Page, read_concepts, read_credits, read_page
from luma_async.dialects.dream_machine_bodies import VIDEO_PATH, body_of, linked_outputs, path_of
from luma_async.dialects.dream_machine_rules import SERVER, check_request
from luma_async.dialects.fields import JSONObject
from luma_async.dialects.job_rows import escaped_id, read_all
from luma_async.dialects.row_dialect import RowDialect
from luma_async.dialects.task_rows import read_row
from luma_async.errors import ConfigurationError, UnsupportedError
from luma_async.generation import Generation
from luma_async.requests import JobRequest
from luma_async.transport.call import Call
from luma_async.transport.rejections import checked_codes

_ROOT = "/dream-machine/v1"
_NO_CALL = "Check base_url: this host does not offer the Dream Machine API, or not this call"
_NO_VIDEO_CALL = (
    f"{_NO_CALL}; a gateway with the earlier path for videos needs "
    "DreamMachineDialect(video_path='/generations')"
)


class DreamMachineDialect(RowDialect):
    """Format of Luma's Dream Machine API, sold by gateways as "official format".

    It has a first and a last frame, concepts, extensions in both directions, edits (`modify`),
    reframing, and images; the models are `ray-2` and `ray-flash-2`, and `photon-1` and
    `photon-flash-1` for images. A `ReframeRequest` with a model for images is for an image. Input
    images and videos are URLs, or outputs of jobs.

    >>> DreamMachineDialect().default_base_url
    'https://api.lumalabs.ai'

    Args:
        video_path: path of the call for new videos, after `/dream-machine/v1`. Some gateways only
            have the earlier one, `"/generations"`.
        rejection_codes: as in `GatewayDialect`.

    Raises:
        ConfigurationError: an argument is not valid.

    """

    default_base_url = "https://api.lumalabs.ai"
    name = "dream-machine"
    path_prefix = _ROOT
    supports_batch = False
    supports_callbacks = True

    def __init__(
        self, *, video_path: str = VIDEO_PATH, rejection_codes: Collection[str] = ()
    ) -> None:
        super().__init__()
        if not video_path.startswith("/") or not video_path.isascii():
            raise ConfigurationError(
                f"video_path must look like {VIDEO_PATH!r} or '/generations', got {video_path!r}."
            )
        self._video_path = video_path
        self._rejection_codes = checked_codes(rejection_codes)

    def check(self, request: JobRequest, *, has_source: bool) -> None:
        """Check a request against the rules of the API.

        Raises:
            UnsupportedError: the API does not offer this kind of request, or one of its fields.
            InvalidRequestError: a field breaks a rule.

        """
        check_request(request, has_source=has_source)

    def linked_outputs(self, request: JobRequest, source_id: str | None) -> dict[str, str]:
        """Return the places of all outputs but the frames of new and extended videos."""
        return linked_outputs(request, source_id)

    def submission(self, request: JobRequest, source_id: str | None) -> Call[Generation]:
        """Build the call that submits a job, such as `POST /dream-machine/v1/generations/video`."""
        path = path_of(request) or self._video_path
        return Call(
            "POST",
            f"{_ROOT}{path}",
            self._read_accepted,
            body=to_json(body_of(request, source_id)),
            submits=True,
            sent_ids=request.reference_ids(source_id),
            rejection_codes=self._rejection_codes,
            missing=_NO_VIDEO_CALL if path == VIDEO_PATH else _NO_CALL,
        )

    def get(self, id: str) -> Call[JSONObject]:
        """Build the call that polls one job: `GET /dream-machine/v1/generations/{id}`."""
        return Call("GET", f"{_ROOT}/generations/{escaped_id(id)}", read_row, looks=True)

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:  # noqa: ARG002  of the protocol
        """Raise an error, because the API has no call for many jobs.

        Raises:
            UnsupportedError: always.

        """
        raise UnsupportedError.of(
            "get_many", f"{SERVER} has no call for many jobs; poll them one by one with get()"
        )

    def watermark_free_url(self, id: str) -> Call[str]:  # noqa: ARG002  of the protocol
        """Raise an error, because the videos of the API have no watermark.

        Raises:
            UnsupportedError: always.

        """
        raise UnsupportedError.of(
            "watermark_free_url",
            f"{SERVER} has no such links, for its files have no watermark; use the generation's "
            "url, or download()",
        )

    def page(self, *, offset: int, limit: int) -> Call[Page]:
        """Build the call for some jobs: `GET /dream-machine/v1/generations`."""
        return Call(
            "GET",
            f"{_ROOT}/generations",
            partial(read_page, generation=self.generation),
            query={"limit": str(limit), "offset": str(offset)},
            missing="This server has no list of jobs",
        )

    def delete(self, id: str) -> Call[None]:
        """Build the call that deletes a job: `DELETE /dream-machine/v1/generations/{id}`."""
        return Call("DELETE", f"{_ROOT}/generations/{escaped_id(id)}", _read_nothing, deletes=True)

    def credits(self) -> Call[Credits]:
        """Build the call for the balance: `GET /dream-machine/v1/credits`."""
        return Call(
            "GET",
            f"{_ROOT}/credits",
            read_credits,
            missing="This server does not tell the balance of the account",
        )

    def concepts(self) -> Call[tuple[str, ...]]:
        """Build the call for concepts: `GET /dream-machine/v1/generations/concepts/list`."""
        return Call(
            "GET",
            f"{_ROOT}/generations/concepts/list",
            read_concepts,
            missing="This server has no list of concepts",
        )

    def _read_accepted(self, body: bytes) -> Generation:
        return self.generation(accepted_job(read_all(body)))


def _read_nothing(body: bytes) -> None:
    """Accept any body, because only the status of the answer counts."""
