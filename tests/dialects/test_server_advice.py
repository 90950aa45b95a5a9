"""Next steps in errors: the API that an API key belongs to, and the way to find a lost job."""

from __future__ import annotations

import pytest

from luma_async import (
    APIError,
    AuthenticationError,
    LumaClient,
    NotFoundError,
    SubmissionUncertainError,
)
from luma_async.dialects.server_advice import advice_of_server, search_for_lost_job
from luma_async.simulator import Fault, Simulator
from tests.clients import KEY, connect

AGENTS_KEY = "luma-api-0000000000000000"
DREAM_KEY = "luma-00000000-0000-4000-8000-000000000000-11111111"
AGENTS_URL, DREAM_URL = "https://agents.lumalabs.ai", "https://api.lumalabs.ai"
GATEWAY = "gw.example"


@pytest.mark.parametrize(
    ("dialect", "url", "key", "said"),
    [
        ("agents", AGENTS_URL, AGENTS_KEY, "LUMA_API_KEY or LUMA_AGENTS_API_KEY"),
        ("agents", AGENTS_URL, AGENTS_KEY, "sent to agents.lumalabs.ai (dialect 'agents')."),
        ("agents", AGENTS_URL, DREAM_KEY, "form of those of Luma's Dream Machine API at https://"),
        ("agents", AGENTS_URL, "sk-12345678", "begin with sk- are mostly those of gateways."),
        ("agents", AGENTS_URL, "12345678", "Agents API begin with luma-api-, and this one does n"),
        ("dream-machine", DREAM_URL, AGENTS_KEY, "at https://agents.lumalabs.ai (dialect 'agent"),
        ("dream-machine", DREAM_URL, "12345678", "luma- and a UUID, and this one does not."),
        ("gateway", f"https://{GATEWAY}", AGENTS_KEY, "form of those of Luma's Agents API"),
        ("gateway", f"https://{GATEWAY}", DREAM_KEY, "(dialect 'dream-machine')."),
        ("gateway", f"https://{GATEWAY}", "12345678", f"sent to {GATEWAY} (dialect 'gateway')."),
    ],
)
def test_an_api_key_that_is_not_valid_is_said_to_be_that_of_another_api(
    dialect: str, url: str, key: str, said: str
) -> None:
    """With the host that it was sent to, and never with the API key."""
    text = f"{advice_of_server(dialect, url, key).step(AuthenticationError)}."

    assert said in text
    assert key not in text


def test_a_dialect_of_the_user_has_the_advice_of_the_error_classes() -> None:
    """Nothing is known of its server."""
    advice = advice_of_server("mine", "https://mine.example/v1", "k")

    assert advice.step(AuthenticationError) == AuthenticationError.advice
    assert advice.about_url == ""


async def test_a_rejected_api_key_is_explained_without_the_api_key() -> None:
    """At the first call that is answered 401, in each dialect."""
    async with Simulator(api_key="another") as sim:
        for dialect, key, other in (
            ("agents", DREAM_KEY, "dream-machine"),
            ("dream-machine", AGENTS_KEY, "agents"),
            ("gateway", AGENTS_KEY, "agents"),
        ):
            async with LumaClient(key, base_url=sim.url, dialect=dialect) as luma:  # type: ignore[arg-type]
                with pytest.raises(AuthenticationError) as caught:
                    await luma.generate("a cat dances")

            text = str(caught.value)
            assert f"was sent to {sim.url.removeprefix('http://')}" in text
            assert f"(dialect {other!r})" in text
            assert key not in text
            assert "; the job was not accepted." in text


async def test_a_doubtful_path_is_named_when_a_call_is_not_found() -> None:
    """Such as `/v1`, which a base URL of the Agents API may have, and `/luma` of each call."""
    async with Simulator() as sim:
        for path, said in (
            ("/v1", "The base URL ends with /v1, the path of Luma's Agents API. Pass the URL"),
            ("/luma", "The base URL ends with /luma, with which all calls begin. Pass the URL"),
        ):
            async with LumaClient(KEY, base_url=sim.url + path, dialect="gateway") as luma:
                for call in (luma.generate("a cat"), luma.get("abc")):
                    with pytest.raises(NotFoundError, match=said) as caught:
                        await call
                    assert repr(sim.url) in str(caught.value)


async def test_each_dialect_tells_where_to_look_for_a_lost_job() -> None:
    """The Agents API has no list of jobs, so the request id is all that finds one."""
    async with Simulator() as sim:
        for dialect, said in (
            ("agents", "has no list of jobs: ask Luma's support for the job, by the request id"),
            ("dream-machine", "Look for it in the list of jobs"),
            ("gateway", "Look for it in your gateway's list of tasks"),
        ):
            sim.faults.add(Fault.cut(after=True))
            async with connect(sim, dialect=dialect) as luma:
                with pytest.raises(SubmissionUncertainError, match=said) as caught:
                    await luma.generate("a cat dances")
            sim.faults.clear()

            assert str(caught.value.request_id) in str(caught.value)
    assert search_for_lost_job("mine") is None


def test_other_errors_name_the_documentation_of_their_server() -> None:
    """A customer of Luma has no gateway."""
    steps = advice_of_server("agents", AGENTS_URL, AGENTS_KEY).steps

    assert steps[APIError] == "See Luma's documentation"
    assert not [text for text in steps.values() if "gateway" in text]
