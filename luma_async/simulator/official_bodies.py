"""Bodies of requests to Luma's own APIs: the types and limits of their fields."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from luma_async.simulator.official_calls import RejectedError

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


class OfficialBody(BaseModel):
    """Object of a request. Fields may be absent, but null is valid only in those of `nullable`."""

    model_config = ConfigDict(strict=True, frozen=True)

    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _reject_null(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in cls.model_fields:
                if name in data and data[name] is None and name not in cls.nullable:
                    raise ValueError(f"{name}: null is not a valid value")
        return data


BodyType = TypeVar("BodyType", bound=OfficialBody)


def parsed(body: type[BodyType], document: Any) -> BodyType:
    """Return the body of a request, with the types of the contract.

    Raises:
        RejectedError: a field is missing, or its value is not valid.

    """
    try:
        return body.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        details = (f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in found)
        raise RejectedError(400, "; ".join(details)) from None


def _check_web_url(url: str) -> str:
    # Raises a ValueError of its own if the host is not valid.
    if not _URL.fullmatch(url) or not urlsplit(url).hostname:
        raise ValueError("must be an http(s) URL")
    return url


WebURL = Annotated[str, AfterValidator(_check_web_url)]
"""URL that the server can fetch."""
