"""Errors of links and their hosts: temporary ones are retried, permanent ones are not.

They are signals within a fetch. Users get a `DownloadError` that lists them.
"""

from __future__ import annotations

import aiohttp

from luma_async.media.addresses import PrivateAddressError
from luma_async.media.content_encoding import DecodingError
from luma_async.media.requester import RedirectError
from luma_async.media.speed import TooSlowError
from luma_async.transport.rate_limit_headers import parse_retry_after

_BUSY = frozenset({408, 425, 429})
"""Statuses below 500 that may change when the same request is sent again later."""


class TemporaryLinkError(Exception):
    """A request for a file failed, and may succeed later.

    `retry_after` is the pause in seconds that the host asked for, if it did.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class PermanentLinkError(Exception):
    """A link does not lead to the file, and repeating the request will not change that."""


def check_status(response: aiohttp.ClientResponse, place: str, *, is_range: bool) -> None:
    """Check the HTTP status of a response; `is_range` is `True` if a range was requested.

    Raises:
        TemporaryLinkError: the host is busy or broken.
        PermanentLinkError: the host rejects the request.

    """
    status = response.status
    if status in (200, 206) or (status == 416 and is_range):
        return
    if status >= 500 or status in _BUSY:
        headers = response.headers
        after = parse_retry_after(headers.get("Retry-After"), date=headers.get("Date"))
        raise TemporaryLinkError(f"{place} answered HTTP {status}.", after)
    raise PermanentLinkError(f"{place} answered HTTP {status}; the link may have expired")


_EXPLANATIONS: dict[type[Exception], tuple[type[TemporaryLinkError | PermanentLinkError], str]] = {
    PrivateAddressError: (
        PermanentLinkError,
        (
            "{place} is not downloaded: {error}, and the server is not in such a network; "
            "allow_private_media=True allows it"
        ),
    ),
    DecodingError: (PermanentLinkError, "{place} sent content that cannot be decoded: {error}"),
    RedirectError: (PermanentLinkError, "{place} {error}"),
    TooSlowError: (TemporaryLinkError, "{place} {error}."),
    EOFError: (TemporaryLinkError, "{place} sent truncated content."),
    aiohttp.ClientHttpProxyError: (
        TemporaryLinkError,
        "{place}: the proxy answered HTTP {error.status}.",
    ),
    # The texts of the next two contain headers, such as a signed Location.
    aiohttp.ClientResponseError: (TemporaryLinkError, "{place} sent an invalid HTTP response."),
    aiohttp.ServerDisconnectedError: (TemporaryLinkError, "{place}: Server disconnected."),
    TimeoutError: (TemporaryLinkError, "{place} sent nothing for too long."),
    # ValueError is raised by yarl, by aiohttp (InvalidURL), and by the codec of host names.
    ValueError: (PermanentLinkError, "{place} leads to an invalid http(s) URL"),
    aiohttp.ClientError: (TemporaryLinkError, "{place}: {reason}."),
}
"""Explanations of exceptions. The order matters: the first class that matches is used."""

EXPLAINED = tuple(_EXPLANATIONS)
"""Exceptions that `explain` accepts."""


def explain(error: Exception, place: str) -> TemporaryLinkError | PermanentLinkError:
    """Return an exception of `EXPLAINED` as an error of the link.

    The exception's own text is used only where it cannot contain the signature of a link.
    """
    kind, text = next(it for type, it in _EXPLANATIONS.items() if isinstance(error, type))
    reason = str(error) or type(error).__name__
    return kind(text.format(place=place, error=error, reason=reason))
