"""Metadata: the caller's own data about a job, as a JSON object that cannot be changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from luma_async.errors import InvalidRequestError
from luma_async.text_values import has_lone_surrogate

METADATA_LIMIT = 16 * 1024
"""Maximum size of the metadata of a job, in bytes of JSON. A journal reads it with each job."""

MAX_DEPTH = 100
"""Maximum depth of lists and objects. It also rejects those that contain themselves."""

_MAX_BITS = 3_322
"""Bits of a whole number of a thousand digits. By default, Python parses no more than 4,300."""

_MAX_SHOWN = 60
"""Maximum number of characters of a name in an error."""

_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_encode_as_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("The metadata of a job cannot be changed; change a copy.deepcopy() of it.")


class _FrozenObject(dict[str, Any]):
    """JSON object that cannot be changed. Its copies can: they are dictionaries.

    It is a dictionary, so that `json.dumps()` takes it.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


class _FrozenArray(list[Any]):
    """JSON array that cannot be changed. Its copies can: they are lists."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = _refuse
    pop = remove = reverse = sort = _refuse


NO_METADATA: Mapping[str, Any] = _FrozenObject()
"""Metadata of a job that was submitted without any. It is shared to save memory."""


def no_metadata() -> Mapping[str, Any]:
    """Return the metadata of a job without any, as a default of dataclasses."""
    return NO_METADATA


def frozen_metadata(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the metadata of a job, and return a copy that cannot be changed.

    Tuples become lists, and subclasses of texts and numbers those themselves.

    Raises:
        InvalidRequestError: a value is not valid in JSON, or the whole is too large.

    """
    if isinstance(given, _FrozenObject):
        return given
    if not isinstance(given, Mapping):
        raise _invalid((), f"must be a mapping with text keys, got {type(given).__name__}")
    metadata: Mapping[str, Any] = _frozen(_Check().checked(given))
    if len(metadata_text(metadata).encode()) > METADATA_LIMIT:
        raise _too_large()
    return metadata or NO_METADATA


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """Return metadata as JSON that any database and file takes.

    JSON escapes null characters. Lone surrogates are escaped as well, together with all other
    characters that are not ASCII.
    """
    text = _encode(metadata)
    return _encode_as_ascii(metadata) if has_lone_surrogate(text) else text


def parsed_metadata(text: str) -> Mapping[str, Any]:
    """Return the metadata in a text of `metadata_text()`."""
    metadata: Mapping[str, Any] = _frozen(json.loads(text))
    return metadata


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return _FrozenObject({name: _frozen(item) for name, item in value.items()})
    if isinstance(value, list):
        return _FrozenArray(map(_frozen, value))
    return value


class _Check:
    """Check of one metadata object. It counts its smallest possible size, and ends at the limit.

    A few lists that contain each other several times can stand for more values than memory holds.
    """

    def __init__(self) -> None:
        self._size = 0

    def checked(self, value: Any, *path: str | int) -> Any:
        """Return a value in types of JSON. `path` has the names and positions that lead to it."""
        self._count(1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float):
            return _number(value, path)
        if len(path) > MAX_DEPTH:
            raise _invalid((), f"must not be nested more than {MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            names = [name for name in value if not isinstance(name, str)]
            if names:
                raise _invalid(path, f"must have text keys, got {_shown(names[0])}")
            return {
                self._text(name): self.checked(item, *path, name) for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.checked(item, *path, index) for index, item in enumerate(value)]
        raise _invalid(
            path,
            "must be a text, a finite number, True, False, None, a list or a mapping, "
            f"got {type(value).__name__}",
        )

    def _text(self, text: str) -> str:
        self._count(len(text))
        return str.__str__(text)

    def _count(self, characters: int) -> None:
        self._size += characters
        if self._size > METADATA_LIMIT:
            raise _too_large()


def _number(value: float, path: Sequence[str | int]) -> float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid(path, f"must be a finite number, got {value!r}")
        return float(value)
    if value.bit_length() > _MAX_BITS:
        raise _invalid(path, "must have at most a thousand digits")
    return int(value)


def _invalid(path: Sequence[str | int], problem: str) -> InvalidRequestError:
    place = "".join(f"[{_shown(step)}]" for step in path)
    return InvalidRequestError.of(f"metadata{place}", problem)


def _shown(name: Any) -> str:
    shown = repr(name)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 3]}..."


def _too_large() -> InvalidRequestError:
    return _invalid(
        (), f"must have at most {METADATA_LIMIT:,} bytes as JSON; keep more in a store of your own"
    )
