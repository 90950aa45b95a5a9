"""Account: read the answers about an account, such as its jobs and its balance. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import Field

from luma_async.dialects.fields import JSONObject, as_number, as_object, as_text
from luma_async.dialects.job_rows import read_all
from luma_async.errors import ResponseError
from luma_async.field_docs import with_field_docs
from luma_async.generation import FrozenModel, Generation

_PAGE_NAMES = ("generations", "data", "items")
_CONCEPT_NAMES = ("concepts", "data")


class Page(NamedTuple):
    """Some jobs of an account in a row, the newest first.

    `has_more` is `False` for the last page, and `None` if the server does not say.
    """

    generations: tuple[Generation, ...]
    has_more: bool | None


@with_field_docs("Attributes")
class Credits(FrozenModel):
    """Balance of an account."""

    usd: float = Field(description="Balance in US dollars.")
    raw: Mapping[str, Any] = Field(
        default={}, repr=False, exclude=True, description="The server's unchanged JSON object."
    )


def read_page(body: bytes, generation: Callable[[JSONObject], Generation]) -> Page:
    """Return a page of jobs. `generation` parses a row. Rows without an id are left out.

    Raises:
        ResponseError: the answer has no list of jobs.

    """
    places = _places(read_all(body)[0])
    rows = _list(places, _PAGE_NAMES)
    if rows is None:
        raise ResponseError("it lists no jobs")
    parsed = (generation(row) for row in rows if isinstance(row, dict))
    flags = (place.get("has_more") for place in places if isinstance(place, dict))
    has_more = next((flag for flag in flags if isinstance(flag, bool)), None)
    return Page(tuple(seen for seen in parsed if seen.id), has_more)


def read_credits(body: bytes) -> Credits:
    """Return the balance from an answer that has it in US cents.

    Raises:
        ResponseError: the answer has no balance.

    """
    for place in _places(read_all(body)[0]):
        cents = as_number(as_object(place).get("credit_balance"))
        if cents is not None:
            return Credits.of_checked({"usd": cents / 100, "raw": place})
    raise ResponseError("it contains no balance")


def read_concepts(body: bytes) -> tuple[str, ...]:
    """Return the names of concepts, written as texts or as objects with a `key`.

    Raises:
        ResponseError: the answer has no list of concepts.

    """
    items = _list(_places(read_all(body)[0]), _CONCEPT_NAMES)
    if items is None:
        raise ResponseError("it lists no concepts")
    names = (as_text(item) or as_text(as_object(item).get("key")) for item in items)
    return tuple(name for name in names if name is not None)


def _places(document: Any) -> tuple[Any, ...]:
    """Return an answer, and the content of its envelope if it has one."""
    inner = as_object(document).get("data")
    return (document,) if inner is None else (document, inner)


def _list(places: tuple[Any, ...], names: tuple[str, ...]) -> list[Any] | None:
    """Return the first array in some places: itself, or in a field of an object."""
    for place in places:
        if isinstance(place, list):
            return place
        for name in names:
            if isinstance(found := as_object(place).get(name), list):
                return found
    return None
