"""Request kinds: the class of requests for each kind, by its name."""

from __future__ import annotations

from luma_async.edit_requests import (
    EditImageRequest,
    EditRequest,
    ImageRequest,
    LayersRequest,
    ReframeRequest,
)
from luma_async.errors import InvalidRequestError
from luma_async.requests import ExtendRequest, GenerateRequest, JobRequest, Kind

REQUESTS: dict[Kind, type[JobRequest]] = {
    request.kind: request
    for request in (
        GenerateRequest,
        ExtendRequest,
        EditRequest,
        ReframeRequest,
        ImageRequest,
        EditImageRequest,
        LayersRequest,
    )
}
"""The class of requests for each kind."""

FIELDS: tuple[str, ...] = tuple(
    dict.fromkeys(name for request in REQUESTS.values() for name in request.model_fields)
)
"""Names of the fields of all kinds of requests."""


def request_class(kind: object) -> type[JobRequest]:
    """Return the class of requests for a kind.

    Raises:
        InvalidRequestError: there is no such kind.

    """
    found = next((REQUESTS[name] for name in REQUESTS if name == kind), None)
    if found is None:
        raise InvalidRequestError.of(
            "kind", f"{kind!r} is not a kind of request; allowed: {', '.join(REQUESTS)}"
        )
    return found
