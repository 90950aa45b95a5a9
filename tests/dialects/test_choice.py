"""The dialect, base URL and API key of a client, from its arguments and the environment."""

from __future__ import annotations

import traceback
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest

from luma_async import AgentsDialect, ConfigurationError, GatewayDialect, LumaClient
from luma_async.dialects.choice import ServerChoice, choose_server
from luma_async.dialects.known_apis import GATEWAY, KNOWN_APIS, api_of_key
from luma_async.dialects.wrong_paths import path_problem

AGENTS_KEY = "luma-api-0000000000000000"
DREAM_KEY = "luma-00000000-0000-4000-8000-000000000000-11111111-1111-4111-8111-111111111111"
GATEWAY_KEY = "sk-0000000000000000"

AGENTS_URL = "https://agents.lumalabs.ai"
DREAM_URL = "https://api.lumalabs.ai"
GATEWAY_URL = "https://api.gpt.ge"


def choose(
    api_key: Any = None, base_url: Any = None, dialect: Any = None, **variables: str
) -> ServerChoice:
    return choose_server(api_key=api_key, base_url=base_url, dialect=dialect, variables=variables)


@pytest.mark.parametrize(
    ("given", "dialect", "url", "reason"),
    [
        # The host
        ({"base_url": AGENTS_URL}, "agents", AGENTS_URL, "its host is agents.lumalabs.ai"),
        ({"base_url": f"{AGENTS_URL}/v1"}, "agents", AGENTS_URL, "host"),
        ({"base_url": f"{AGENTS_URL}/v1/"}, "agents", AGENTS_URL, "host"),
        ({"base_url": "https://AGENTS.LumaLabs.ai/v1"}, "agents", None, "host"),
        ({"base_url": DREAM_URL}, "dream-machine", DREAM_URL, "its host is api.lumalabs.ai"),
        ({"base_url": f"{DREAM_URL}/dream-machine/v1"}, "dream-machine", DREAM_URL, "host"),
        ({"base_url": AGENTS_URL, "api_key": GATEWAY_KEY}, "agents", AGENTS_URL, "host"),
        # The path
        ({"base_url": "https://gw/dream-machine/v1"}, "dream-machine", "https://gw", "path"),
        (
            {"base_url": "https://gw/pro/dream-machine/v1", "api_key": AGENTS_KEY},
            "dream-machine",
            "https://gw/pro",
            "path of its base URL is /dream-machine/v1",
        ),
        # The form of the API key
        ({"api_key": AGENTS_KEY}, "agents", AGENTS_URL, "begin with luma-api-"),
        ({"api_key": f" {AGENTS_KEY}\n".encode()}, "agents", AGENTS_URL, "begin with luma-api-"),
        ({"LUMA_API_KEY": AGENTS_KEY}, "agents", AGENTS_URL, "begin with luma-api-"),
        ({"api_key": AGENTS_KEY, "base_url": "http://h:1/v1"}, "agents", "http://h:1", "begin"),
        ({"api_key": DREAM_KEY}, "dream-machine", DREAM_URL, "begin with luma- and a UUID"),
        ({"api_key": DREAM_KEY.upper().replace("LUMA", "luma")}, "dream-machine", None, "UUID"),
        # The variable
        ({"LUMA_AGENTS_API_KEY": "k"}, "agents", AGENTS_URL, "LUMA_AGENTS_API_KEY is set"),
        ({"LUMAAI_API_KEY": "k"}, "dream-machine", DREAM_URL, "LUMAAI_API_KEY is set"),
        ({"LUMAAI_API_KEY": "k", "LUMA_AGENTS_API_KEY": "k"}, "agents", AGENTS_URL, "AGENTS"),
        # Nothing
        ({"api_key": GATEWAY_KEY}, "gateway", GATEWAY_URL, "neither its URL nor the API key"),
        ({"api_key": "luma-secret"}, "gateway", GATEWAY_URL, "neither"),
        ({"api_key": GATEWAY_KEY, "base_url": "https://gw/v1"}, "gateway", "https://gw/v1", ""),
        # A dialect that is given has no reason
        ({"api_key": "k", "dialect": "agents"}, "agents", AGENTS_URL, None),
        ({"api_key": "k", "dialect": "dream-machine"}, "dream-machine", DREAM_URL, None),
        ({"api_key": "k", "dialect": "Dream_Machine"}, "dream-machine", DREAM_URL, None),
        ({"api_key": "k", "dialect": "gateway"}, "gateway", GATEWAY_URL, None),
        ({"api_key": "k", "dialect": AgentsDialect()}, "agents", AGENTS_URL, None),
        ({"api_key": "k", "LUMA_DIALECT": "agents"}, "agents", AGENTS_URL, None),
        ({"api_key": "k", "dialect": "gateway", "LUMA_DIALECT": "agents"}, "gateway", None, None),
        ({"api_key": "k", "dialect": "agents", "base_url": "http://v1/v1"}, "agents", None, None),
    ],
)
def test_the_first_fact_that_says_something_chooses_the_dialect(
    given: dict[str, Any], dialect: str, url: str | None, reason: str | None
) -> None:
    """Host, path, form of the API key, variable: in this order. Else it is that of gateways."""
    choice = choose(**given)

    assert choice.dialect.name == dialect
    assert url is None or choice.base_url == url
    assert (choice.reason is None) == (reason is None)
    assert (reason or "") in (choice.reason or "")


KEYS = {
    "argument": {"api_key": "of-argument"},
    "LUMA_API_KEY": {"LUMA_API_KEY": "of-LUMA_API_KEY"},
    "LUMA_AGENTS_API_KEY": {"LUMA_AGENTS_API_KEY": "of-LUMA_AGENTS_API_KEY"},
    "LUMAAI_API_KEY": {"LUMAAI_API_KEY": "of-LUMAAI_API_KEY"},
}
OF_AGENTS, OF_DREAM_MACHINE = "LUMA_AGENTS_API_KEY", "LUMAAI_API_KEY"


@pytest.mark.parametrize(
    ("url", "dialect", "official"),
    [
        # The last column has the variables of official clients that may be sent there.
        (None, None, (OF_AGENTS, OF_DREAM_MACHINE)),
        (None, "agents", (OF_AGENTS,)),
        (None, "dream-machine", (OF_DREAM_MACHINE,)),
        (None, "gateway", ()),
        (AGENTS_URL, None, (OF_AGENTS,)),
        (AGENTS_URL, "agents", (OF_AGENTS,)),
        (DREAM_URL, None, (OF_DREAM_MACHINE,)),
        (DREAM_URL, "dream-machine", (OF_DREAM_MACHINE,)),
        ("https://gw.example", None, ()),
        ("https://gw.example", "agents", ()),
        ("https://gw.example", "dream-machine", ()),
        ("https://gw.example", "gateway", ()),
        ("https://gw.example/dream-machine/v1", None, ()),
    ],
)
def test_api_keys_have_one_order_in_all_combinations(
    url: str | None, dialect: str | None, official: tuple[str, ...]
) -> None:
    """The argument, then `LUMA_API_KEY`, then the variables of official clients for that server."""
    order = ["argument", "LUMA_API_KEY", *official]
    for is_set in product([False, True], repeat=len(KEYS)):
        names = [name for name, given in zip(KEYS, is_set, strict=True) if given]
        given: dict[str, Any] = {"base_url": url, "dialect": dialect}
        for name in names:
            given |= KEYS[name]
        first = next((name for name in order if name in names), None)
        choice = choose(**given)

        if first is not None:
            assert choice.api_key() == f"of-{first}"
            continue
        with pytest.raises(ConfigurationError) as caught:
            choice.api_key()
        text = str(caught.value)
        assert "Set LUMA_API_KEY" in text
        assert "of-LUMA" not in text
        if names:
            assert f"There is no API key for {urlsplit(choice.base_url).netloc}. " in text
            assert any(f"{name} is set, but it is for Luma's" in text for name in names)


@pytest.mark.parametrize("name", ["LUMA_AGENTS_API_KEY", "LUMAAI_API_KEY"])
@pytest.mark.parametrize(
    "url",
    [
        "https://agents.lumalabs.ai.gw.example",
        "https://gw.example/agents.lumalabs.ai",
        "http://agents.lumalabs.ai",
        "http://api.lumalabs.ai",
        "http://127.0.0.1:8765",
        "https://lumalabs.ai",
    ],
)
@pytest.mark.parametrize("dialect", [None, "agents", "dream-machine"])
def test_the_api_keys_of_official_clients_go_to_no_other_host(
    name: str, url: str, dialect: str | None
) -> None:
    """Nor to Luma's hosts without TLS."""
    with pytest.raises(ConfigurationError) as caught:
        choose(base_url=url, dialect=dialect, **{name: "secret-of-luma"}).api_key()

    text = str(caught.value)
    assert "secret-of-luma" not in text
    if "et the dialect to" not in text:
        assert f"{name} is set" in text
        assert f"no API key for {urlsplit(url).netloc}" in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"base_url": AGENTS_URL, "dialect": "dream-machine"},
            (
                "base_url has the host agents.lumalabs.ai of Luma's Agents API, but the dialect "
                "is 'dream-machine'. Set the dialect to 'agents', or "
                "base_url='https://api.lumalabs.ai' with 'dream-machine'."
            ),
        ),
        (
            {"LUMA_BASE_URL": f"{AGENTS_URL}/v1", "dialect": GatewayDialect()},
            (
                "LUMA_BASE_URL has the host agents.lumalabs.ai of Luma's Agents API, but the "
                "dialect is 'gateway'. Set the dialect to 'agents'."
            ),
        ),
        (
            {"base_url": "https://gw/dream-machine/v1", "dialect": "agents"},
            (
                "base_url ends with /dream-machine/v1, the path of Luma's Dream Machine API. Pass "
                "the URL without it: 'https://gw'; or, for that API, set the dialect to "
                "'dream-machine'."
            ),
        ),
        (
            {"LUMA_BASE_URL": "https://gw/pro/luma/generations"},
            (
                "LUMA_BASE_URL ends with a call, /luma/generations. Pass the URL without it: "
                "'https://gw/pro'."
            ),
        ),
        (
            {"base_url": "https://gw/v1/chat/completions"},
            (
                "base_url ends with a call, /v1/chat/completions, of OpenAI's API. Pass the URL "
                "without it: 'https://gw'."
            ),
        ),
        (
            {"dialect": "agent"},
            "dialect must be one of agents, dream-machine, gateway, got 'agent'",
        ),
        (
            {"dialect": 5},
            "one of agents, dream-machine, gateway, or a Dialect, got 5",
        ),
        ({"dialect": AgentsDialect}, "got the class AgentsDialect; pass AgentsDialect()."),
        ({"LUMA_DIALECT": "luma"}, "LUMA_DIALECT must be one of agents, dream-machine, gateway,"),
        (
            {"api_key": AGENTS_KEY, "base_url": DREAM_URL},
            (
                "The API key is one of Luma's Agents API, whose API keys begin with luma-api-; it "
                "was not sent to api.lumalabs.ai (dialect 'dream-machine'). Set the dialect to "
                "'agents' and pass no other base_url"
            ),
        ),
        ({"api_key": DREAM_KEY, "base_url": AGENTS_URL}, "is one of Luma's Dream Machine API"),
        ({"api_key": AGENTS_KEY, "dialect": "gateway"}, "it was not sent to api.gpt.ge"),
    ],
)
def test_settings_that_contradict_each_other_are_explained(
    given: dict[str, Any], said: str
) -> None:
    """With the setting, its problem, and the values to pass instead."""
    with pytest.raises(ConfigurationError) as caught:
        choose(**{"api_key": GATEWAY_KEY, **given})

    assert said in str(caught.value)
    assert AGENTS_KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "by_dialect"),
    [
        # A call is certain for each dialect: "!"; a path of another API is only doubtful: "?".
        ("", {"agents": "", "dream-machine": "", "gateway": ""}),
        ("/pro", {"agents": "", "dream-machine": "", "gateway": ""}),
        ("/v1", {"agents": "", "dream-machine": "?", "gateway": "?"}),
        ("/luma", {"agents": "", "dream-machine": "", "gateway": "?"}),
        ("/dream-machine/v1", {"agents": "!", "dream-machine": "", "gateway": "!"}),
        ("/luma/tasks", {"agents": "!", "dream-machine": "!", "gateway": "!"}),
        ("/luma/generations/abc/extend", {"agents": "!", "dream-machine": "!", "gateway": "!"}),
        ("/v1/generations", {"agents": "!", "dream-machine": "!", "gateway": "!"}),
        ("/v1/files/abc", {"agents": "!", "dream-machine": "!", "gateway": "!"}),
        ("/dream-machine/v1/credits", {"agents": "!", "dream-machine": "!", "gateway": "!"}),
        ("/v1/models", {"agents": "!", "dream-machine": "!", "gateway": "!"}),
        ("/my-v1", {"agents": "", "dream-machine": "", "gateway": ""}),
        ("/luma-v2", {"agents": "", "dream-machine": "", "gateway": ""}),
    ],
)
def test_a_path_of_another_api_is_told_from_a_prefix(path: str, by_dialect: dict[str, str]) -> None:
    """A proxy may have any prefix, so only certain mistakes are errors before anything is sent."""
    for api in KNOWN_APIS:
        problem = path_problem(f"https://h{path}", api)
        mark = "" if problem is None else "!" if problem.is_certain else "?"
        assert mark == by_dialect[api.name], api.name
        assert problem is None or "'https://h'" in problem.text


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        (AGENTS_KEY, "agents"),
        (DREAM_KEY, "dream-machine"),
        (DREAM_KEY[:41], "dream-machine"),
        (GATEWAY_KEY, None),
        ("luma-", None),
        ("luma-api-", None),
        ("luma-my-gateway", None),
        ("LUMA-API-1", None),
        ("", None),
    ],
)
def test_an_api_key_shows_its_api_by_its_form(key: str, owner: str | None) -> None:
    """If it has one."""
    api = api_of_key(key)

    assert (None if api is None else api.name) == owner


def test_the_known_apis_have_the_dialects_hosts_and_paths() -> None:
    """Each fact is in one place, or is compared here."""
    for api in KNOWN_APIS:
        dialect = choose("k", None, api.name).dialect
        assert (dialect.name, dialect.path_prefix) == (api.name, api.path)
        assert dialect.default_base_url == f"https://{api.host}"
    assert GATEWAY.key_variable is None


def test_no_traceback_shows_an_api_key() -> None:
    """Not even one with the local variables, which services for error reports collect."""
    variables = {"LUMA_AGENTS_API_KEY": "secret-1", "LUMAAI_API_KEY": "secret-2"}
    try:
        choose(base_url="https://gw.example/v1/models", **variables)
    except ConfigurationError as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    inner = [frame for frame in frames if "luma_async" in frame.f_code.co_filename]

    assert inner
    assert not [frame for frame in inner if "secret-" in repr(frame.f_locals)]


def test_a_client_takes_the_name_of_a_dialect() -> None:
    """And tells its server without the path that all calls have."""
    luma = LumaClient("k", dialect="dream-machine", base_url="https://gw/dream-machine/v1")

    assert luma.base_url == "https://gw"
    assert luma._dialect.name == "dream-machine"
