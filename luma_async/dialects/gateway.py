"""Gateway dialect: `/luma/generations` and `/luma/tasks`, in all known variants."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic_core import to_json

from luma_async.dialects.accepted_job import accepted_job
from luma_async.dialects.fields import (
    JSONObject,
    as_object,
    as_text,
    first,
)
from luma_async.dialects.job_rows import escaped_id, read_all
from luma_async.dialects.no_account_calls import NoAccountCalls
from luma_async.dialects.request_check import RequestCheck
from luma_async.dialects.row_dialect import RowDialect
from luma_async.dialects.task_rows import read_row, read_rows, rows_one_by_one
from luma_async.errors import ResponseError, UnsupportedError
from luma_async.generation import Generation
from luma_async.image_sources import is_reference
from luma_async.requests import JobRequest
from luma_async.transport.call import Body, Call, has_images
from luma_async.transport.rejections import checked_codes

_WIRE_NAMES = {
    "prompt": "user_prompt",
    "image": "image_url",
    "image_end": "image_end_url",
    "aspect_ratio": "aspect_ratio",
    "expand_prompt": "expand_prompt",
    "model": "model_name",
    "resolution": "resolution",
    "duration": "duration",
    "notify_hook": "notify_hook",
    "loop": "loop",
}
"""Names of the fields in the body, in its order."""

PROMPT_LIMIT = 5000
"""Maximum characters of a prompt, as the service behind the gateways documents it."""

_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21")
_OFFERED_BY = {
    "backward": "the agents or the dream-machine dialect",
    "concepts": "the dream-machine dialect",
    **dict.fromkeys(("keyframes", "hdr", "exr", "user_id", "layers"), "the agents dialect"),
}
"""Fields and kinds of requests of Luma's own APIs, each with the dialects that offer it. Kinds that
are not here are offered by both."""


class GatewayDialect(RowDialect, NoAccountCalls):
    """Format of the API gateways that offer Luma.

    >>> GatewayDialect(rejection_codes={"busy_try_again"}).default_base_url
    'https://api.gpt.ge'

    Args:
        rejection_codes: error codes that your gateway sends only if it made no job and passed
            nothing on. A submission with such an error is rejected for certain, in addition to a
            few codes that all gateways share.

    Raises:
        ConfigurationError: a code is empty, or the collection is a single text.

    """

    default_base_url = "https://api.gpt.ge"
    name = "gateway"
    path_prefix = ""
    supports_batch = True
    supports_callbacks = True
    list_instead = "your gateway may show its tasks on its website; a journal keeps your own"
    credits_instead = "your gateway may show it on its website"

    def __init__(self, *, rejection_codes: Collection[str] = ()) -> None:
        super().__init__()
        self._rejection_codes = checked_codes(rejection_codes)

    def check(self, request: JobRequest, *, has_source: bool) -> None:  # noqa: ARG002  only the kind counts
        """Check a request against the limits that gateways share.

        Raises:
            UnsupportedError: gateways do not offer this kind of request, or one of its fields.
            InvalidRequestError: a field breaks a rule.

        """
        if request.kind not in ("generate", "extend"):
            dialects = _OFFERED_BY.get(request.kind, "the agents or the dream-machine dialect")
            raise UnsupportedError.of(
                request.kind, f"the gateway dialect does not offer it; use {dialects}"
            )
        check = RequestCheck(request, "the gateway dialect")
        check.prompt(at_most=PROMPT_LIMIT)
        for name, dialects in _OFFERED_BY.items():
            check.unsupported((name,), f"use {dialects}, or pass your gateway's own field in extra")
        check.allowed("aspect_ratio", _RATIOS)
        for place, image in request.images().items():
            if is_reference(image):
                check.add(place, "must be a URL or a file; a gateway knows no other references")
        check.raise_problems()

    def linked_outputs(self, request: JobRequest, source_id: str | None) -> dict[str, str]:  # noqa: ARG002  of the protocol
        """Return no places: a gateway takes the id of a job to extend."""
        return {}

    def submission(self, request: JobRequest, source_id: str | None) -> Call[Generation]:
        """Build the call that submits a job.

        `POST /luma/generations`, or `POST /luma/generations/{id}/extend`, which adds about five
        seconds to a completed video.
        """
        if source_id is None:
            path = "/luma/generations"
            missing = "Check base_url: this host does not offer Luma generation"
        else:
            path = f"/luma/generations/{escaped_id(source_id)}/extend"
            missing = "Either the job does not exist, or this gateway no longer offers extend"
        return Call(
            "POST",
            path,
            self._read_accepted,
            body=_body(request),
            submits=True,
            rejection_codes=self._rejection_codes,
            missing=missing,
        )

    def get(self, id: str) -> Call[JSONObject]:
        """Build the call that polls one job: `GET /luma/generations/{id}`."""
        return Call("GET", f"/luma/generations/{escaped_id(id)}", read_row, looks=True)

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        """Build the call that polls many jobs: `POST /luma/tasks`, a read in spite of its verb."""
        return Call(
            "POST",
            "/luma/tasks",
            read_rows,
            body=to_json({"ids": list(ids)}),
            looks=True,
            missing="This gateway has no call for many jobs at once",
            rows=rows_one_by_one,
        )

    def watermark_free_url(self, id: str) -> Call[str]:
        """Build the call for a signed link: `GET /luma/generations/{id}/download_video_url`."""
        return Call("GET", f"/luma/generations/{escaped_id(id)}/download_video_url", _read_link)

    def _read_accepted(self, body: bytes) -> Generation:
        return self.generation(accepted_job(read_all(body)))


def _body(request: JobRequest) -> bytes | Body:
    fields = request.__dict__
    named = {
        wire: value for name, wire in _WIRE_NAMES.items() if (value := fields.get(name)) is not None
    }
    body = {**named, **fields["extra"]}
    return Body(body) if has_images(body) else to_json(body)


def _read_link(body: bytes) -> str:
    document = read_all(body)[0]
    answer = as_object(document)
    link = first((answer, as_object(answer.get("data"))), as_text, "url", "download_url")
    if link is None and isinstance(answer.get("data"), str):
        link = as_text(answer["data"])
    if link is None or not link.lower().startswith(("http://", "https://")):
        raise ResponseError("it contains no link")
    return link
