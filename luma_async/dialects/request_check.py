"""RequestCheck: collects the problems of a request with a server, and raises them as one error."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from luma_async.errors import InvalidRequestError, UnsupportedError
from luma_async.image_sources import is_url
from luma_async.requests import JobRequest
from luma_async.text_values import shown_value


class RequestCheck:
    """Problems of one request, by the name of the field.

    `server` names the server in messages, such as `the gateway dialect`.
    """

    def __init__(self, request: JobRequest, server: str) -> None:
        self._fields = vars(request)
        self._prompt = request.prompt
        self._server = server
        self._problems: dict[str, str] = {}
        self._is_unsupported = False

    def has(self, name: str) -> bool:
        """Return `True` if a field is set, and not to `False`."""
        return bool(self._fields.get(name))

    def unsupported(self, names: Iterable[str], instead: str) -> None:
        """Reject fields that the server does not have. `instead` is the advice."""
        for name in names:
            value = self._fields.get(name)
            if value is not None and value is not False and value != ():
                self._is_unsupported = True
                self.add(name, f"{self._server} does not offer it; {instead}")

    def allowed(self, name: str, values: Collection[str]) -> None:
        """Reject a value of a field that is not among those that the server takes."""
        value = self._fields.get(name)
        if value is not None and value not in values:
            self.add(name, f"{shown_value(value)} is not valid here; allowed: {', '.join(values)}")

    def prompt(self, *, at_least: int = 0, at_most: int) -> None:
        """Reject a prompt that is too short or too long for the server, in characters."""
        length = len(self._prompt)
        if length > at_most:
            self.add("prompt", f"has {length} characters; {self._server} allows {at_most}")
        elif length < at_least:
            self.add("prompt", f"has {length} characters; {self._server} needs {at_least}")

    def only_urls(
        self, images: Mapping[str, Any], *, references: type[Any] | tuple[()] = ()
    ) -> None:
        """Reject images that are neither URLs nor references of these classes."""
        for place, image in images.items():
            if not is_url(image) and not isinstance(image, references):
                self.add(
                    place,
                    f"must be an http(s) URL, because {self._server} accepts nothing else; upload "
                    "the image to a host from which the server can fetch it",
                )

    def add(self, name: str, problem: str) -> None:
        """Add a problem. The first one of a field counts."""
        self._problems.setdefault(name, problem)

    def raise_problems(self) -> None:
        """Raise the problems, if there are any.

        Raises:
            UnsupportedError: the server does not offer a field.
            InvalidRequestError: a field breaks a rule.

        """
        if self._problems:
            kind = UnsupportedError if self._is_unsupported else InvalidRequestError
            raise kind(self._problems)
