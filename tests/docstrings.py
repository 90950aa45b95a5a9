"""Rules for docstrings, and a list of the texts that break them.

`python -m tests.docstrings [FOLDER...]` prints every violation in some folders, or in all.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

ALL_FOLDERS = ("luma_async", "benchmarks", "examples")

_LABEL = r"(?:[\w `.-]{1,40}: )?"
"""A noun and a colon before the sentence, as in `Lease: how long a claim is held`."""

_ASKING = (
    "ask|check|choose|compute|decide|describe|detect|determine|explain|find|get|give|keep|know"
    "|learn|look|note|print|read|remember|return|say|see|show|tell|write|yield"
)
"""Verbs whose object may be a clause. Before other words, `where` and `who` follow a noun."""

_PREPOSITIONS = (
    "about|after|at|before|between|by|during|for|from|in|of|on|over|through|to|under|until|with"
)
_PREDICATES = (
    "are|can|cannot|could|do|does|had|has|have|is|may|might|must|of|should|that|was|were|will"
    "|which|who|would"
)

_PARTICLE = "(?: (?:at|down|for|out|over|to|up))?"

_RULES = {
    "begins with a clause, and not with a noun or an imperative": (
        rf"{_LABEL}(?:how|when|whenever|where|wherever|who|whom|whose|why)\b"
    ),
    "has a clause as its object": (
        rf"{_LABEL}(?:\w+{_PARTICLE} how|(?:{_ASKING}){_PARTICLE} (?:where|when|who|whose|why))\b"
    ),
    "has a clause that begins with what, whoever or whether": (
        r".*\b(?:what|whatever|whether|whichever|whoever|whomever)\b"
    ),
    "has a clause that begins with which": (
        rf"(?:.*\b(?!(?:{_PREPOSITIONS})\b)\w+\W{{0,3}} )?which\b"
    ),
    "begins with a pronoun": (
        rf"{_LABEL}(?:(?:(?:any|every|some)(?:body|one|thing)|nobody|nothing|he|it|none|she|they)\b"
        rf"|(?:all|both|each|few|many|one|some|that|these|this|those) (?:{_PREDICATES})\b"
        r"(?! (?:a|an|its|the|their|these|those)\b))"
    ),
    "has a pronoun as its object": (
        rf"(?:\w+ that|\w+{_PARTICLE}) (?:(?:it|them|they)\b|(?:these|those) (?:{_PREDICATES})\b)"
    ),
}
_COMPILED = {problem: re.compile(rule, re.IGNORECASE) for problem, rule in _RULES.items()}

_SAYS_IS_NO = "says `is no X`, and not `is not a X`"
_IS_NO = re.compile(
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!fewer|later|less|longer|more|one\b|sooner)\w"
)


class Violation(NamedTuple):
    """A text that breaks a rule, with the file and line where it begins."""

    place: str
    problem: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}: {self.text}"


def problems(text: str) -> list[str]:
    """Return the rules that a docstring breaks."""
    first = first_sentence(text)
    broken = [problem for problem, rule in _COMPILED.items() if rule.match(first)]
    return broken + [_SAYS_IS_NO] * says_is_no(text)


def says_is_no(text: str) -> bool:
    """Return `True` if a text says `X is no Y`, and not `X is not a Y`."""
    return _IS_NO.search(" ".join(text.split())) is not None


def first_sentence(text: str) -> str:
    """Return a docstring up to the end of its first sentence, or of its first paragraph."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph)[0]


def violations(folder: Path) -> Iterator[Violation]:
    """Yield the texts below a folder that break a rule."""
    for file in sorted(folder.rglob("*.py")):
        yield from violations_in(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT)))


def violations_in(source: str, file: str) -> Iterator[Violation]:
    """Yield the texts of one module that break a rule.

    Docstrings must follow all of the rules. Messages need not be sentences, so only their `is no X`
    is found.
    """
    tree = ast.parse(source)
    docstrings = set(_docstrings(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        place = f"{file}:{node.lineno}"
        if node in docstrings:
            for problem in problems(node.value):
                yield Violation(place, problem, first_sentence(node.value))
        elif says_is_no(node.value):
            yield Violation(place, _SAYS_IS_NO, node.value)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the strings that document modules, classes, functions, constants and attributes."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value


if __name__ == "__main__":
    for name in sys.argv[1:] or ALL_FOLDERS:
        for violation in violations(ROOT / name):
            print(violation)  # noqa: T201  a program for the command line
