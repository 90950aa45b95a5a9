"""Advice: the next steps that errors suggest, for the API that a client talks to. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from luma_async.dialects.known_apis import (
    AGENTS,
    DREAM_MACHINE,
    GATEWAY,
    KnownAPI,
    api_at,
    api_of_dialect,
    api_of_key,
)
from luma_async.dialects.wrong_paths import path_problem
from luma_async.errors import APIError, AuthenticationError, NotFoundError, PermissionDeniedError
from luma_async.settings import API_KEY
from luma_async.transport.failures import Advice

_SEARCHES: dict[str, str] = {
    AGENTS.name: (
        "This API has no list of jobs: ask Luma's support for the job, by the request id"
    ),
    DREAM_MACHINE.name: (
        "Look for it in the list of jobs: LumaClient.generations(), or `luma-async list`"
    ),
    GATEWAY.name: "Look for it in your gateway's list of tasks",
}
"""Ways to find a job whose submission was not answered."""


def search_for_lost_job(dialect_name: str) -> str | None:
    """Return the way to find a job without its id; `None` for a dialect of your own."""
    return _SEARCHES.get(dialect_name)


def search_for_lost_jobs(
    dialect_name: str | None, jobs: str, *, command: str = "luma-async list"
) -> str:
    """Return a sentence about the place where lost jobs are found, for the command line.

    `jobs` is their name in the sentence, and `command` lists the jobs of the account if the API
    has such a list.

    >>> search_for_lost_jobs("gateway", "them")
    "Look for them in your gateway's list of tasks."
    """
    if dialect_name == AGENTS.name:
        return f"This API has no list of jobs: ask Luma's support for {jobs}, by request id."
    if dialect_name == DREAM_MACHINE.name:
        return f"Look for {jobs} in the list of jobs of the account: `{command}`."
    if dialect_name == GATEWAY.name:
        return f"Look for {jobs} in your gateway's list of tasks."
    return f"Look for {jobs} in the server's list of jobs, or ask its support."


def advice_of_server(dialect_name: str, server: str, api_key: str) -> Advice:
    """Return the advice of the errors of a server. It says where the API key belongs, not the key.

    For a dialect that is not of this package, it is that of the error classes.
    """
    own = api_of_dialect(dialect_name)
    if own is None:
        return Advice()
    parts = urlsplit(server)
    is_at_luma = api_at(parts.hostname) is own
    variables = f"{API_KEY} or {own.key_variable}" if is_at_luma else API_KEY
    support = "Luma's" if is_at_luma else "the gateway's"
    about_key = _about_key(api_key, own, parts.netloc)
    problem = path_problem(server, own)
    return Advice(
        {
            APIError: f"See {'Luma' if is_at_luma else 'the gateway'}'s documentation",
            AuthenticationError: (
                f"Check the API key ({variables}), and that base_url is the server that issued "
                f"it. {about_key}"
            ),
            PermissionDeniedError: (
                f"Ask {support} support which calls this API key may make. {about_key}"
            ),
            NotFoundError: (
                f"Check the id, and that the job was submitted to {parts.netloc} with an API key "
                "of the same account"
            ),
        },
        about_url="" if problem is None else f"The base URL {problem.text}",
    )


def _about_key(api_key: str, own: KnownAPI, host: str) -> str:
    """Return the host that an API key was sent to, and the API that has such API keys."""
    sent = f"The API key was sent to {host} (dialect {own.name!r})"
    owner = api_of_key(api_key)
    if owner is None and own is not GATEWAY and api_key.startswith("sk-"):
        owner = GATEWAY
    if owner is GATEWAY and own is not GATEWAY:
        return f"{sent}, but API keys that begin with sk- are mostly those of gateways"
    if owner is not None and owner is not own:
        return (
            f"{sent}, but has the form of those of {owner.title} at https://{owner.host} "
            f"(dialect {owner.name!r})"
        )
    if owner is None and own is not GATEWAY:
        return f"{sent}. Those of {own.title} {own.key_form}, and this one does not"
    return sent
