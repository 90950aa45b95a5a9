"""YAML tables: read a list of mappings, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from luma_async.batch.problems import Problem, TableError
from luma_async.batch.tables import TableRow

_MAX_DEPTH = 30
"""Maximum number of levels of nested values."""

_NODE_COST = 128
"""Cost of one value in characters: building it is as much work as copying so long a text."""


class _Allowance:
    """Limit for the values that the aliases (`*name`) of a file expand to.

    A few hundred characters of nested aliases could expand to gigabytes ("billion laughs").
    """

    def __init__(self, text: str) -> None:
        self._left = _NODE_COST * len(text) + 2**23

    def spend(self, node: Any) -> None:
        """Subtract the cost of a value.

        Raises:
            TableError: the allowance is used up.

        """
        self._left -= _NODE_COST + (len(node.value) if isinstance(node.value, str) else 0)
        if self._left < 0:
            mark = node.start_mark
            problem = "aliases (*name) expand this value too much; write it out instead"
            raise TableError(mark.line + 1, mark.column + 1, problem)


def read_yaml(text: str) -> Iterator[TableRow | Problem]:
    """Read a list of mappings. Scalars are not converted but read as they are written.

    (YAML 1.1 would read `16:9` as the number 969.)

    Raises:
        TableError: the file is not valid YAML, or not a list.
        ModuleNotFoundError: PyYAML is not installed.

    """
    try:
        import yaml  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'A YAML file needs PyYAML: pip install "luma-async[batch]"', name=error.name
        ) from None
    allowance = _Allowance(text)
    try:
        for node in _nodes(yaml, text):
            line, column = node.start_mark.line + 1, node.start_mark.column + 1
            if node.id == "mapping":
                yield from _mapping(node, line, column, allowance)
            else:
                yield Problem(
                    line, column, "a row must be a mapping, as in: - prompt: a cat dances"
                )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise TableError(line, column, f"this is not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise TableError(0, 0, f"this is not valid YAML: {error}") from None
    except RecursionError:
        raise TableError(0, 0, "this is nested too deeply") from None


def _nodes(yaml: Any, text: str) -> Iterator[Any]:
    """Yield the nodes of the list one by one, because each row takes 3 kB."""
    loader = _loader(yaml, text)
    loader.get_event()  # the start of the stream
    if loader.check_event(yaml.StreamEndEvent):
        raise TableError(
            0, 0, "the file is empty; it must be a list of rows, as in: - prompt: a cat"
        )
    loader.get_event()  # the start of the document
    root = loader.get_event()
    if not isinstance(root, yaml.SequenceStartEvent):
        line, column = root.start_mark.line + 1, root.start_mark.column + 1
        raise TableError(
            line, column, "the file must be a list of rows, as in: - prompt: a cat dances"
        )
    while not loader.check_event(yaml.SequenceEndEvent):
        yield loader.compose_node(None, None)
    loader.get_event()  # the end of the list
    loader.get_event()  # the end of the document
    end = loader.get_event()
    if not isinstance(end, yaml.StreamEndEvent):
        raise TableError(
            end.start_mark.line + 1,
            0,
            "the file must have one document, and a second one begins here",
        )


def _loader(yaml: Any, text: str) -> Any:
    """Return a loader that composes nodes and resolves no tags, with libyaml if it is there."""
    is_fast = getattr(yaml, "__with_libyaml__", False)
    bases = (yaml.composer.Composer, yaml.cyaml.CParser) if is_fast else (yaml.SafeLoader,)
    untagged = {
        "resolve": lambda *_: "",
        "descend_resolver": lambda *_: None,
        "ascend_resolver": lambda *_: None,
    }
    kind: Any = type("Loader", bases, untagged)
    loader = kind.__new__(kind, text)
    bases[-1].__init__(loader, text)
    if is_fast:
        bases[0].__init__(loader)
    return loader


def _mapping(
    node: Any, line: int, column: int, allowance: _Allowance
) -> Iterator[TableRow | Problem]:
    cells: dict[str, Any] = {}
    columns: dict[str, int] = {}
    try:
        for name, value in node.value:
            at = name.start_mark
            if name.id != "scalar":
                yield Problem(at.line + 1, at.column + 1, "the name of a column must be text")
                continue
            if name.value in cells:
                yield Problem(at.line + 1, at.column + 1, f"{name.value!r} is here twice")
            columns[name.value] = value.start_mark.column + 1
            cells[name.value] = _cell(value, allowance)
    except (ValueError, RecursionError) as error:
        yield Problem(line, column, f"this cannot be read: {error}")
    else:
        yield TableRow(line, cells, columns)


def _cell(node: Any, allowance: _Allowance) -> Any:
    """Return a scalar as it is written, and a nested value with the types of JSON."""
    if isinstance(node.value, str):
        allowance.spend(node)
        is_null = not node.style and node.value in ("", "~", "null", "Null", "NULL")
        return None if is_null else node.value
    return _nested(node, allowance, depth=0)


def _nested(node: Any, allowance: _Allowance, depth: int) -> Any:
    allowance.spend(node)
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply, or contains itself")
    if isinstance(node.value, str):
        if node.style:  # in quotes
            return node.value
        try:
            return json.loads(node.value)
        except ValueError:  # a plain text
            return node.value
    if node.value and isinstance(node.value[0], tuple):
        return {
            _name(name, allowance): _nested(value, allowance, depth + 1)
            for name, value in node.value
        }
    if node.id == "mapping":
        return {}
    return [_nested(each, allowance, depth + 1) for each in node.value]


def _name(node: Any, allowance: _Allowance) -> str:
    allowance.spend(node)
    if not isinstance(node.value, str):
        raise ValueError("the name of a value must be text")  # noqa: TRY004  reported like all problems of a value
    return node.value
