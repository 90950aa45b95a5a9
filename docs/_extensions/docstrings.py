"""Docstrings and signatures in the form that a reference needs."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import stringify_annotation

import luma_async
from luma_async.generation import FrozenModel
from luma_async.run_calls import OneRequest
from luma_async.simulator.faults import SUBMISSIONS, CallName

ROOT = Path(__file__).resolve().parents[2]

_SHORTER = {
    f" | {stringify_annotation(OneRequest, 'smart')}": "",
    " | ~luma_async.tasks.arguments.OneText | ~luma_async.tasks.arguments.OneJob": "",
    " | ~luma_async.tasks.arguments.PassAList": "",
    stringify_annotation(CallName, "smart"): "str",
    repr(SUBMISSIONS): "SUBMISSIONS",
    **{
        stringify_annotation(getattr(luma_async, name), "smart"): f"~luma_async.{name}"
        for name in luma_async.__all__
        if isinstance(getattr(luma_async, name), UnionType | type(luma_async.AspectRatio))
    },
}
"""Texts in signatures, and shorter ones in their place."""

_OF_THE_PACKAGE = (
    *(
        "HomeLoop",
        "Notifier",
        "ReadsBytes",
        "StatusChange",
        "Takeover",
        "TakesCallbacks",
        "Watcher",
    ),
)
"""Types of arguments that only the package itself makes."""

_GOOGLE = Config(napoleon_numpy_docstring=False, napoleon_attr_annotations=True)
_TYPED = re.compile(
    r"^(\.\. attribute:: .*\n(?:   :.*\n)*)\n   ((?:.*\n(?:\n(?!   :))?)*?)\n   :type: (.*)$",
    re.MULTILINE,
)
_MODULE = re.compile(r"(?<![\w.~])(?=\w+\.\w)")
_TEXT = re.compile(r"^(\.\. attribute:: .*\n(?:   :.*\n)*\n   )([a-z])", re.MULTILINE)


def read_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Convert a docstring from Google's style.

    This is all that the extension napoleon does, but for the docstrings of properties: there, it
    takes the words before a colon for a type.
    """
    if what == "module":
        lines[:] = _error_tree(lines)
    if what == "data" and (found := _docstring_of_data(name)):
        lines[:] = [*found, ""]
    if what in ("attribute", "data", "property"):
        what = "method"
    lines[:] = GoogleDocstring(list(lines), _GOOGLE, app, what, name, value, options).lines()
    # The type is shown beside the name, not below it.
    typed = _TYPED.sub(
        lambda found: f"{found[1]}   :type: {_MODULE.sub('~', found[3])}\n\n   {found[2]}\n",
        "\n".join(lines),
    )
    lines[:] = _TEXT.sub(lambda found: found[1] + found[2].upper(), typed).split("\n")


def shorten_signature(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    options: Any,
    arguments: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Name the unions that have a public name, and leave out what only serves type checkers.

    A class that only the package makes has no arguments for users.
    """
    if arguments is None:
        return None, returns
    for text, shorter in _SHORTER.items():
        arguments = arguments.replace(text, shorter)
        returns = returns and returns.replace(text, shorter)
    if what in ("class", "exception") and not _is_made_by_users(value, arguments):
        arguments = ""
    return arguments, returns


def _is_made_by_users(value: type, arguments: str) -> bool:
    if issubclass(value, FrozenModel):
        return issubclass(value, luma_async.JobRequest) and value is not luma_async.JobRequest
    if issubclass(value, Enum | BaseException | dict) or getattr(value, "_is_protocol", False):
        return False
    return not any(type in arguments for type in _OF_THE_PACKAGE)


def leave_out_fields(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    skip: bool,
    options: Any,
) -> bool | None:
    """Leave out the fields of named tuples: the section `Attributes` has them."""
    return True if type(value).__name__ == "_tuplegetter" else None


def _error_tree(lines: list[str]) -> list[str]:
    """Return the tree of errors in the docstring of a module, with links."""
    tree = [line for line in lines if "─" in line]
    linked = (re.sub(r"\b(\w+Error)\b", r":exc:`\1`", line) for line in ["LumaError", *tree])
    return [".. parsed-literal::", "", *(f"    {line}" for line in linked), ""]


def _docstring_of_data(name: str) -> list[str] | None:
    """Return the docstring below a constant, from the module where that is defined."""
    package, _, short = name.rpartition(".")
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        if re.search(rf"^{short}\b.* = ", path.read_text("utf-8"), re.MULTILINE):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            return ModuleAnalyzer.for_module(module).find_attr_docs().get(("", short))
    return None


def setup(app: Sphinx) -> None:
    """Connect this module with Sphinx."""
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", leave_out_fields)
