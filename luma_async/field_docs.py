"""Field documentation: the descriptions of fields, in docstrings, signatures and JSON schemas.

The description of a field is written once, as `Field(description=...)`, because a JSON schema needs
it when the program runs. Attribute docstrings are in the source only: pydantic would parse the
source at each start, and a frozen program has none.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from inspect import Parameter
from textwrap import fill, indent
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel

_WIDTH = 92
_FOR_PYTHON = re.compile(r"\n\n(?:>>> |Args:|Attributes:|Raises:).*", re.DOTALL)
_FIELDS_LINE = re.compile(r"^( *)fields: .*\n", re.MULTILINE)

_Model = TypeVar("_Model", bound=BaseModel)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def with_field_docs(
    heading: str, keywords: type[Any] | None = None
) -> Callable[[type[_Model]], type[_Model]]:
    """Return a class decorator that adds the fields to the docstring, under a heading.

    They are added before the section `Raises:`, if there is one. `keywords` is the `TypedDict` of
    the arguments `**fields` of `__init__`, if it has them: its signature then shows them.
    """

    def decorate(model: type[_Model]) -> type[_Model]:
        if model.__doc__ is not None:  # `python -OO` removes it
            text, raises, errors = inspect.cleandoc(model.__doc__).partition("\n\nRaises:")
            fields = indent(_entries(model, model.model_fields), "    ").rstrip()
            model.__doc__ = f"{text}\n\n{heading}:\n{fields}{raises}{errors}"
        if keywords is not None:  # the class gets its signature from `__init__`
            _show_fields(model.__init__, model, keywords)
        return model

    return decorate


def with_fields_of(model: type[BaseModel], keywords: type[Any]) -> Callable[[_Function], _Function]:
    """Return a decorator that shows fields in the signature and docstring in place of `**fields`.

    `keywords` is the `TypedDict` of `**fields`. The descriptions of `model` replace the line
    `fields: ...` of the docstring. Type checkers and calls are not affected.
    """

    def decorate(function: _Function) -> _Function:
        names = _show_fields(function, model, keywords)
        if function.__doc__ is not None:
            entries = _entries(model, names)
            function.__doc__ = _FIELDS_LINE.sub(
                lambda line: indent(entries, line[1]), function.__doc__, count=1
            )
        return function

    return decorate


def leave_out_python(schema: dict[str, Any]) -> None:
    """Remove the example and the sections for Python from the description in a JSON schema."""
    if "description" in schema:
        schema["description"] = _FOR_PYTHON.sub("", schema["description"])


def _show_fields(function: Any, model: type[BaseModel], keywords: type[Any]) -> list[str]:
    """Show fields in the signature of a function in place of `**fields`, and return their names."""
    signature = inspect.signature(function, eval_str=True)
    types = get_type_hints(keywords)
    names = [name for name in model.model_fields if name in types]
    *others, _ = signature.parameters.values()
    fields = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=model.model_fields[name].default,
            annotation=types[name],
        )
        for name in names
    ]
    function.__signature__ = signature.replace(parameters=[*others, *fields])
    return names


def _entries(model: type[BaseModel], names: Iterable[str]) -> str:
    """Return the descriptions of fields, as a section of a docstring has them."""
    lines = (f"{name}: {_as_entry(model.model_fields[name].description or '')}" for name in names)
    return "".join(f"{fill(line, _WIDTH, subsequent_indent='    ')}\n" for line in lines)


def _as_entry(description: str) -> str:
    """Return a description as it follows a name: in lower case, unless it is an acronym."""
    is_acronym = description[1:2].isupper()
    return description if is_acronym else description[:1].lower() + description[1:]
