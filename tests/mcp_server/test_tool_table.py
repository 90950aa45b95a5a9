"""The tools as a model sees them: names, hints, arguments and sentences about money."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from luma_async import AgentsDialect, DreamMachineDialect, GatewayDialect
from luma_async.dialects import Dialect
from luma_async.mcp_server.tool_table import SUBMIT_TOOLS, tools_for
from luma_async.request_kinds import REQUESTS
from luma_async.simulator import Simulator
from tests.mcp_server.sessions import session

SPENDS = {"read_only": False, "destructive": False, "idempotent": True, "open_world": True}
READS = {**SPENDS, "read_only": True}

HINTS = {
    **dict.fromkeys(SUBMIT_TOOLS, SPENDS),
    "get_job": READS,
    "wait_for_job": READS,
    "list_jobs": {**READS, "open_world": False},
    "download_files": SPENDS,
    "get_credits": READS,
    "list_concepts": READS,
}
"""All tools. None is destructive, and each is idempotent: a job key makes it so."""

OF_ALL = ["get_job", "wait_for_job", "list_jobs", "download_files"]


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        pytest.param(GatewayDialect(), ["generate_video", "extend_video", *OF_ALL], id="gateway"),
        pytest.param(AgentsDialect(), [*SUBMIT_TOOLS, *OF_ALL], id="agents"),
        pytest.param(
            DreamMachineDialect(),
            [*list(SUBMIT_TOOLS)[:-1], *OF_ALL, "get_credits", "list_concepts"],
            id="dream machine",
        ),
    ],
)
def test_a_server_has_the_tools_that_it_can_serve(dialect: Dialect, names: list[str]) -> None:
    """A tool that always fails would only tempt a model."""
    tools = tools_for(dialect)

    assert [tool.name for tool in tools] == names
    for tool in tools:
        assert tool.annotations is not None
        hints = tool.annotations.model_dump(exclude_none=True)
        assert {name.removesuffix("_hint"): hint for name, hint in hints.items()} == HINTS[
            tool.name
        ]
        assert tool.title


@pytest.mark.parametrize("tool", tools_for(AgentsDialect()), ids=lambda tool: tool.name)
def test_a_tool_describes_its_arguments_and_its_price(tool: Any) -> None:
    """In valid JSON schemas without the fields that only programs have."""
    for schema in (tool.input_schema, tool.output_schema):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
    arguments = tool.input_schema["properties"]
    assert all(each["description"] for each in arguments.values())
    assert not {"extra", "notify_hook", "user_id"} & set(arguments)
    assert "Python" not in str(tool.input_schema)
    if tool.name in SUBMIT_TOOLS:
        kind, *_ = SUBMIT_TOOLS[tool.name]
        assert "COSTS MONEY" in tool.description
        assert "wait_for_job" in tool.description
        assert "key" in tool.input_schema["required"]
        assert set(arguments) <= {"key", "source", *REQUESTS[kind].model_fields}
        assert ("source" in arguments) == (REQUESTS[kind].source_need != "none")
    else:
        assert "Free." in tool.description


async def test_arguments_that_are_not_valid_are_named(tmp_path: Path) -> None:
    """All of them at once, with the allowed ones, before anything is sent; `null` is nothing."""
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("generate_video", {"prompt": "a cat"}, "key: is required"),
        ("generate_video", {"key": " ", "prompt": "a cat"}, "key: must not be blank"),
        ("generate_video", {"key": "k" * 201, "prompt": "x"}, "key: must have at most 200 char"),
        ("generate_video", {"key": "k", "prompt": ""}, "prompt: is empty"),
        ("generate_video", {"key": "k", "prompt": "x", "loop": "yes"}, "loop: "),
        ("generate_video", {"key": "k", "prompt": "x", "extra": {"n": 4}}, "extra: is not an arg"),
        ("generate_video", {"key": "k", "prompt": "x", "notify_hook": "https://h/"}, "allowed: "),
        ("extend_video", {"key": "k", "prompt": "x"}, "source: is required"),
        ("extend_video", {"key": "k", "prompt": "x", "source": "j" * 1001}, "source: string shou"),
        ("get_job", {"job": "j" * 1001}, "job: string should have at most 1000 characters"),
        ("get_job", {"job": " "}, "job: string should have at least 1 character"),
        ("wait_for_job", {"job": "x", "timeout": 1e9}, "timeout: "),
        ("list_jobs", {"limit": 0}, "limit: "),
        ("list_jobs", {"state": "lazy"}, "state: 'lazy' is not valid; allowed: "),
        ("download_files", {"job": "x", "what": "../x"}, "what: "),
    ]
    async with Simulator() as sim, session(sim, tmp_path) as agent:
        for tool, arguments, problem in calls:
            assert problem in await agent.refusal(tool, **arguments)
        asked = await agent.ask("generate_video", key="k", prompt="x", loop=None, image=None)

        assert len(sim.ledger.jobs) == 1
    assert asked["submitted"]
