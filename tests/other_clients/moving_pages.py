"""The pages about moving from other clients: their tables, and the names in them.

A table has the names of another client in its first column, and those of this library in its second
one. A column is about the arguments of a call if its title names the call.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import fal_client.auth
import fal_client.client
import httpx
import luma_agents
import luma_agents.types
import lumaai
import lumaai.types
import replicate
import replicate.client
import replicate.exceptions
import replicate.helpers
import replicate.prediction

import luma_async
from luma_async.settings import NAMES as SETTINGS
from tests.docs import ROOT

ANYTHING = object()
"""Value of an expression of which nothing more is known."""

_SPAN = re.compile(r"`([^`]+)`")
_SETTING = re.compile(r"[A-Z]+_[A-Z_]+")
_MODEL = re.compile(r"(?:ray|photon|uni)-[\w.-]+")
_ENVIRONMENT = re.compile(r"""(?:environ\.get|getenv)\(\s*["'](\w+)["']""")
_OF_PYDANTIC = "DEFER_PYDANTIC_BUILD"


@dataclass(frozen=True)
class Names:
    """The names that a column of tables may use.

    Attributes:
        roots: the objects with which expressions begin. A class stands for its instances.
        settings: the environment variables.
        text: the source, for texts such as those of states.
        has_fields: `True` if the source has the fields of the objects in a request.

    """

    roots: dict[str, Any]
    settings: frozenset[str]
    text: str
    has_fields: bool = False

    def problems(self, span: str, subject: Any = None) -> Iterator[str]:
        """Yield the names in a span of code that do not exist."""
        if _SETTING.fullmatch(span):
            if span not in self.settings:
                yield f"no such setting: {span}"
        elif _MODEL.fullmatch(span) or span.startswith("/"):
            if f'"{span}"' not in self.text:
                yield f"not in the source: {span}"
        elif re.fullmatch(r'"[^"]*"', span):
            if span not in self.text:
                yield f"not in the source: {span}"
        else:
            expression, found = _expression(span), list[str]()
            self._value(expression, subject, found)
            yield from found
            yield from (f"no such field: {key}" for key in _keys(expression) if self._lacks(key))

    def _value(self, node: ast.expr, subject: Any, problems: list[str]) -> Any:
        match node:
            case ast.Await(value):
                self._value(value, subject, problems)
            case ast.Subscript(value):
                self._value(value, subject, problems)
            case ast.Call(func, _, keywords):
                is_subject = isinstance(func, ast.Name) and func.id == "_"
                call = subject if is_subject else self._value(func, subject, problems)
                known = None if call is ANYTHING else parameters(call)
                problems.extend(
                    f"no such argument: {keyword.arg} in {ast.unparse(node)}"
                    for keyword in keywords
                    if known is not None and keyword.arg not in known
                )
            case ast.Attribute(value, name):
                owner = self._value(value, subject, problems)
                with suppress(AttributeError):
                    return _attribute(owner, name)
                problems.append(f"no such attribute: {ast.unparse(node)}")
            case ast.Name(name) if subject is not None and name in parameters(subject):
                pass
            case ast.Name(name) if name in self.roots:
                return self.roots[name]
            case _:
                problems.append(f"not a known name: {ast.unparse(node)}")
        return ANYTHING

    def _lacks(self, key: str) -> bool:
        return self.has_fields and re.search(rf"\b{key}\b", self.text) is None

    def value(self, text: str) -> Any:
        """Return the object that an expression names."""
        problems: list[str] = []
        value = self._value(_expression(text), None, problems)
        assert not problems, problems
        return value


@dataclass(frozen=True)
class Table:
    """One table: its titles, its rows, and the heading above it."""

    heading: str
    titles: list[str]
    rows: list[list[str]]

    def spans(self, column: int) -> list[str]:
        """Return the spans of code in one column."""
        return [span for row in self.rows for span in _SPAN.findall(row[column])]

    def subject(self, column: int, names: Names) -> Any:
        """Return the call that a column is about, or `None`."""
        if not self.titles[column].startswith("argument of"):
            return None
        [call] = _SPAN.findall(self.titles[column])
        return names.value(call)


@dataclass(frozen=True)
class MovingPage:
    """A page about moving from one client.

    Attributes:
        name: the name of the file.
        module: the module of the client.
        further_roots: objects with which expressions begin, besides the public names.
        calls: the calls that the page must name.
        error: the base of the client's own errors.
        error_modules: the modules that have them.
        has_fields: `True` if the client knows the fields of the objects in a request.

    """

    name: str
    module: ModuleType
    further_roots: dict[str, Any]
    calls: frozenset[str]
    error: type[Exception] | tuple[type[Exception], ...]
    error_modules: tuple[ModuleType, ...]
    has_fields: bool = False

    @property
    def path(self) -> Path:
        """Path of the page."""
        return ROOT / "docs" / self.name

    @cached_property
    def there(self) -> Names:
        """Names of the other client."""
        public = {name: value for name, value in vars(self.module).items() if name[0] != "_"}
        roots = {**public, self.module.__name__: self.module, "httpx": httpx}
        text = _source(self.module)
        settings = frozenset(_ENVIRONMENT.findall(text)) - {_OF_PYDANTIC}
        return Names(roots | self.further_roots, settings, text, has_fields=self.has_fields)

    @cached_property
    def errors(self) -> frozenset[str]:
        """Names of the errors of the other client."""
        return frozenset(
            name
            for module in self.error_modules
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, self.error)
        )

    @cached_property
    def error_names(self) -> frozenset[str]:
        """Names of the errors that users of the client meet: its own, and those of httpx."""
        return self.errors | {
            name
            for name, value in vars(httpx).items()
            if isinstance(value, type) and issubclass(value, Exception)
        }

    @cached_property
    def tables(self) -> list[Table]:
        """All tables of the page, except for those about models."""
        return [table for table in tables_of(self.path) if not table.titles[0].startswith("model")]


def parameters(call: Any) -> set[str]:
    """Return the names of the arguments of a call."""
    found: set[str] = set()
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            found.add(parameter.name)
        elif "CreatePredictionParams" in str(parameter.annotation):
            found |= set(replicate.prediction.Predictions.CreatePredictionParams.__annotations__)
        elif parameter.name == "kwargs" and call is replicate.client.Client:
            found |= set(inspect.signature(httpx.Client).parameters)
    return found - {"self"}


def _attribute(owner: Any, name: str) -> Any:
    if owner is ANYTHING:
        return ANYTHING
    with suppress(AttributeError):
        return getattr(owner, name)
    classes = owner.__mro__ if isinstance(owner, type) else ()
    if any(name in inspect.get_annotations(each) for each in classes):
        return ANYTHING
    with suppress(TypeError, OSError):
        if any(f"self.{name} = " in inspect.getsource(each) for each in classes[:-1]):
            return ANYTHING
    if any(f"self.{name}: " in inspect.getsource(each) for each in classes if _is_ours(each)):
        return ANYTHING
    raise AttributeError(name)


def _is_ours(each: type) -> bool:
    return each.__module__.startswith("luma_async")


def _expression(span: str) -> ast.expr:
    """Parse a span; an argument such as `loop=True` becomes that of a call of `_`."""
    text = f"_({span})" if re.match(r"\w+=(?!=)", span) else span
    return ast.parse(text, mode="eval").body


def _keys(expression: ast.expr) -> Iterator[str]:
    """Yield the keys of all dictionaries in an expression."""
    for node in ast.walk(expression):
        for key in node.keys if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant):
                yield str(key.value)


def tables_of(page: Path) -> Iterator[Table]:
    """Yield the tables of a page."""
    text = page.read_text("utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        heading = section.partition("\n")[0]
        for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
            lines = [
                [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
            ]
            yield Table(heading, lines[0], lines[2:])


def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    files = sorted(Path(module.__file__).parent.rglob("*.py"))
    return "\n".join(file.read_text("utf-8") for file in files)


def _methods(resource: Any, prefix: str) -> Iterator[str]:
    """Yield the names of the methods of a resource and of the resources below it."""
    for name in dir(type(resource)):
        if name.startswith(("_", "with_", "async_")):
            continue
        part = getattr(resource, name)
        if inspect.ismethod(part) or inspect.isfunction(part):
            yield f"{prefix}.{name}"
        elif type(part).__module__.startswith(("lumaai.", "luma_agents.")):
            yield from _methods(part, f"{prefix}.{name}")


def _of_class(owner: type, prefix: str) -> Iterator[str]:
    """Yield the names of the public methods of a class."""
    for name, value in vars(owner).items():
        if inspect.isfunction(value) and not name.startswith(("_", "async_")):
            yield f"{prefix}.{name}"


HERE = Names(
    {
        **{name: getattr(luma_async, name) for name in luma_async.__all__},
        "luma": luma_async.LumaClient,
        "task": luma_async.VideoTask,
        "generation": luma_async.Generation,
        "Path": Path,
    },
    frozenset(SETTINGS),
    _source(luma_async),
)


_LUMAAI = lumaai.LumaAI(auth_token="none")
_LUMA = luma_agents.Luma(auth_token="none", base_url="https://none.example")


def _names_of(*found: Iterator[str]) -> frozenset[str]:
    return frozenset(name for names in found for name in names)


MOVING_PAGES = [
    MovingPage(
        "coming-from-lumaai.md",
        lumaai,
        {"client": _LUMAAI, "generation": lumaai.types.Generation},
        _names_of(
            _methods(_LUMAAI.generations, "client.generations"),
            _methods(_LUMAAI.credits, "client.credits"),
            _methods(_LUMAAI.ping, "client.ping"),
        ),
        lumaai.LumaAIError,
        (lumaai,),
        has_fields=True,
    ),
    MovingPage(
        "coming-from-luma-agents.md",
        luma_agents,
        {
            "client": _LUMA,
            "generation": luma_agents.types.Generation,
            "GenerationOutput": luma_agents.types.GenerationOutput,
        },
        _names_of(
            _methods(_LUMA.generations, "client.generations"),
            _methods(_LUMA.files, "client.files"),
        ),
        luma_agents.LumaError,
        (luma_agents,),
        has_fields=True,
    ),
    MovingPage(
        "coming-from-fal.md",
        fal_client,
        {"handle": fal_client.SyncRequestHandle, "result": ANYTHING},
        _names_of(
            _of_class(fal_client.SyncClient, "fal_client"),
            _of_class(fal_client.SyncRequestHandle, "handle"),
        ),
        (fal_client.FalClientError, fal_client.auth.MissingCredentialsError),
        (fal_client, fal_client.auth),
    ),
    MovingPage(
        "coming-from-replicate.md",
        replicate,
        {
            "prediction": replicate.prediction.Prediction,
            "FileOutput": replicate.helpers.FileOutput,
            **vars(replicate.exceptions),
        },
        _names_of(
            _of_class(type(replicate.predictions), "replicate.predictions"),
            _of_class(type(replicate.files), "replicate.files"),
            _of_class(replicate.prediction.Prediction, "prediction"),
        ),
        replicate.exceptions.ReplicateException,
        (replicate.exceptions,),
    ),
]
