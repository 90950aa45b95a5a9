"""The pages about moving from other clients name what exists, there and here, and all of it.

If a new version of a client has another call, argument, error, state or setting, its page is out of
date, and one of these tests fails.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

import fal_client.client
import luma_agents
import lumaai
import lumaai.types.generations
import pytest
import replicate
import replicate.client

from luma_async.dialects import agents_rules
from luma_async.dialects.dream_machine_bodies import IMAGE_MODELS, VIDEO_MODELS
from tests.other_clients.moving_pages import HERE, MOVING_PAGES, MovingPage, Names, parameters

NOT_FOR_USERS = {"args", "_strict_response_validation"}
pages = pytest.mark.parametrize("page", MOVING_PAGES, ids=lambda page: page.name)


def code_of(page: MovingPage, column: int) -> list[str]:
    return [span for table in page.tables for span in table.spans(column)]


@pages
@pytest.mark.parametrize("column", [0, 1], ids=["there", "here"])
def test_names_in_tables_exist(page: MovingPage, column: int) -> None:
    """Calls, arguments, attributes, errors, states and settings, in the installed versions."""
    names = [page.there, HERE][column]
    problems = [
        problem
        for table in page.tables
        for span in table.spans(column)
        for problem in names.problems(span, table.subject(column, names))
    ]

    assert problems == []


@pages
def test_every_call_is_in_a_table(page: MovingPage) -> None:
    """Each public call of the client that has to do with jobs, files or an account."""
    code = " ".join(code_of(page, 0)).replace("SyncClient.", "fal_client.")
    named = set(re.findall(r"[\w.]+(?=\()", code))

    assert page.calls - named == set()


@pages
def test_every_argument_is_in_a_table(page: MovingPage) -> None:
    """Each argument of a call that has a table of its own."""
    tables = [(table, table.subject(0, page.there)) for table in page.tables]
    missing = {
        parameter
        for table, call in tables
        if call is not None
        for parameter in parameters(call) - NOT_FOR_USERS
        if not any(re.match(rf"{parameter}\b", span) for span in named_in(page, call))
    }

    assert any(call is not None for _, call in tables)
    assert missing == set()


def named_in(page: MovingPage, call: Any) -> list[str]:
    return [
        span
        for table in page.tables
        if table.subject(0, page.there) == call
        for span in table.spans(0)
    ]


@pages
def test_every_error_and_setting_is_in_a_table(page: MovingPage) -> None:
    """Those of the client itself."""
    words = {word for span in code_of(page, 0) for word in re.findall(r"\w+", span)}

    assert page.errors - words == set()
    assert page.there.settings - words == set()


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("coming-from-lumaai.md", lumaai.types.Generation.model_fields["state"].annotation),
        (
            "coming-from-luma-agents.md",
            luma_agents.types.Generation.model_fields["state"].annotation,
        ),
        ("coming-from-replicate.md", replicate.prediction.Prediction.__annotations__["status"]),
        ("coming-from-fal.md", fal_client.Status.__subclasses__()),
    ],
    ids=["lumaai", "luma-agents", "replicate", "fal"],
)
def test_every_state_is_in_a_table(name: str, states: Any) -> None:
    """Those that the type of the client has."""
    [page] = [each for each in MOVING_PAGES if each.name == name]
    named = {span.strip('"') for span in code_of(page, 0)}
    known = set(re.findall(r"'(\w+)'", str(states))) or {state.__name__ for state in states}

    assert known - named == set()


def test_models_of_lumas_clients_are_those_of_the_dialects() -> None:
    """A model that a new version of a client has is a model that the dialect must take."""
    video = lumaai.types.GenerationCreateParams.__annotations__["model"]
    image = lumaai.types.generations.ImageCreateParams.__annotations__["model"]
    taken_by_agents = {model for models in agents_rules._MODELS.values() for model in models}

    assert set(re.findall(r"ray-[\w-]+", str(video))) == set(VIDEO_MODELS)
    assert set(re.findall(r"photon-[\w-]+", str(image))) == set(IMAGE_MODELS)
    assert set(get_args(luma_agents.types.Model)) == taken_by_agents


@pages
def test_numbers_of_settings_are_the_defaults(page: MovingPage) -> None:
    """A page says so below its table."""
    [table] = [table for table in page.tables if table.heading == "Settings"]
    wrong = [
        span
        for names, column in ((page.there, 0), (HERE, 1))
        for span in table.spans(column)
        for argument, number in numbers_in(span)
        if default_of(names, span, argument) != number
    ]

    assert "The numbers are the defaults." in page.path.read_text("utf-8")
    assert wrong == []


def numbers_in(span: str) -> list[tuple[str, float]]:
    return [(name, float(number)) for name, number in re.findall(r"(\w+)=(\d+)", span)]


def default_of(names: Names, span: str, argument: str) -> Any:
    call = names.value(span.partition("(")[0])
    default = inspect.signature(call).parameters[argument].default
    if isinstance(default, lumaai.NotGiven | luma_agents.NotGiven):
        return names.roots["DEFAULT_TIMEOUT"].read
    return default


def test_numbers_in_sentences_are_those_of_the_clients() -> None:
    """Attempts, and the pauses between two looks."""
    assert lumaai.DEFAULT_MAX_RETRIES == luma_agents.DEFAULT_MAX_RETRIES == 2
    assert fal_client.client.DEFAULT_QUEUE_POLL_INTERVAL == 0.1
    assert fal_client.client.MAX_ATTEMPTS == 10
    assert replicate.client.Client().poll_interval == 0.5
    assert replicate.client.Client()._client.timeout.read == 30


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        ("client.generations.fetch()", "no such attribute"),
        ("client.generations.create(size=...)", "no such argument"),
        ('client.generations.create(keyframes={"frame7": {}})', "no such field"),
        ('"sleeping"', "not in the source"),
        ("LUMAAI_TOKEN", "no such setting"),
        ("TimeoutFailure", "not a known name"),
    ],
)
def test_a_wrong_name_is_found(span: str, problem: str) -> None:
    """The check of names can fail."""
    [found] = MOVING_PAGES[0].there.problems(span)

    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        ("luma.upscale()", "no such attribute"),
        ("luma.generate(size=...)", "no such argument"),
        ("generation.size", "no such attribute"),
        ("LUMA_KEY", "no such setting"),
        ("ray-1", "not in the source"),
    ],
)
def test_a_wrong_name_of_this_library_is_found(span: str, problem: str) -> None:
    """The check of names can fail."""
    [found] = HERE.problems(span)

    assert found.startswith(problem)
