"""Choice of the server: dialect, base URL and API key, from arguments and the environment. Pure.

A dialect that is not given is chosen by the first of these that says something: the host, the path
of the base URL, the form of the API key, the variable that has the API key. Else it is `gateway`.

`LUMA_API_KEY` is for any server. The variables of Luma's official clients are for Luma's hosts
only, and are used if there is no other API key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from luma_async.dialects.agents import AgentsDialect
from luma_async.dialects.dialect import Dialect
from luma_async.dialects.dream_machine import DreamMachineDialect
from luma_async.dialects.gateway import GatewayDialect
from luma_async.dialects.known_apis import (
    AGENTS,
    DREAM_MACHINE,
    GATEWAY,
    LUMA_APIS,
    NAMES,
    KnownAPI,
    api_at,
    api_of_dialect,
    api_of_key,
)
from luma_async.dialects.wrong_paths import path_problem
from luma_async.errors import ConfigurationError
from luma_async.settings import (
    AGENTS_API_KEY,
    API_KEY,
    BASE_URL,
    DIALECT,
    DREAM_MACHINE_API_KEY,
)
from luma_async.text_values import SecretLike, URLLike
from luma_async.transport.credentials import Secret, checked_base_url

OFFICIAL_KEY_VARIABLES = (AGENTS_API_KEY, DREAM_MACHINE_API_KEY)
"""Variables of Luma's official clients. The first one that is set counts: the Dream Machine API is
being retired."""

_DIALECTS: dict[str, Callable[[Collection[str]], Dialect]] = {
    "agents": lambda _: AgentsDialect(),
    "dream-machine": lambda codes: DreamMachineDialect(rejection_codes=codes),
    "gateway": lambda codes: GatewayDialect(rejection_codes=codes),
}
"""Functions that make a dialect, given the error codes of the server for certain rejections."""


class ChosenDialect(NamedTuple):
    """Dialect that was chosen for a server, with the reason; `None` if the caller chose it."""

    dialect: Dialect
    reason: str | None


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """Server of a client: its dialect, base URL and API key.

    Attributes:
        dialect: the dialect.
        base_url: the checked base URL, without the path with which the calls of the dialect begin.
        reason: the fact by which the dialect was chosen; `None` if it was given.
        given_key: the API key, if there is one that may be sent to this server.
        withheld: the variable with an API key that is not for this server, if there is no other.

    """

    dialect: Dialect
    base_url: str
    reason: str | None
    given_key: Secret | None = None
    withheld: str | None = None

    @property
    def api_url(self) -> str:
        """URL with which all calls begin. Unlike the base URL, no other API of the host has it."""
        return f"{self.base_url}{self.dialect.path_prefix}"

    @property
    def chosen_dialect(self) -> ChosenDialect:
        """The dialect, with the reason for it."""
        return ChosenDialect(self.dialect, self.reason)

    def api_key(self, problem: str | None = None, *, reads_file: bool = True) -> Secret:
        """Return the API key.

        Args:
            problem: description of an error in the settings, if there is one.
            reads_file: `False` if the caller reads the environment only, and not `.env`.

        Raises:
            ConfigurationError: there is no API key that may be sent to this server.

        """
        if self.given_key is not None:
            return self.given_key
        host = urlsplit(self.base_url).netloc
        own = _variable_of(self.dialect)
        may_be = f" or {own}" if own and _may_have_keys_of_luma(self.base_url) else ""
        if self.withheld is None:
            detail = f" ({problem})" if problem else ""
            other_way = (
                f"or write {API_KEY}=... into a file .env in this folder{detail}."
                if reads_file
                else "or pass one to LumaClient(). Only LumaClient.from_env() reads .env."
            )
            raise ConfigurationError(f"There is no API key. Set {API_KEY}{may_be}, {other_way}")
        owner = next(api for api in LUMA_APIS if api.key_variable == self.withheld)
        raise ConfigurationError(
            f"There is no API key for {host}. {self.withheld} is set, but it is for {owner.title}, "
            f"and is only sent to https://{owner.host}. Set {API_KEY}{may_be} to an API key of "
            f"{host}; or, to use {owner.title}, set the dialect to {owner.name!r} and pass no "
            f"other base_url ({BASE_URL})."
        )


def choose_server(
    *,
    api_key: SecretLike | None,
    base_url: URLLike | None,
    dialect: Dialect | str | None,
    variables: Mapping[str, str],
    rejection_codes: Collection[str] = (),
) -> ServerChoice:
    """Choose the server from the arguments of a client, and from variables for those not given.

    `rejection_codes` are for a dialect that is made here.

    Raises:
        ConfigurationError: a setting is not valid, or settings contradict each other.

    """
    variables = _known(variables)
    given_key = variables.get(API_KEY) if api_key is None else api_key
    key = None if given_key is None else Secret.of(given_key)
    given_url = base_url or variables.get(BASE_URL)
    url = None if given_url is None else checked_base_url(given_url)
    given_dialect = dialect or variables.get(DIALECT)
    if given_dialect is not None:
        chosen = _dialect_of(given_dialect, rejection_codes, from_variable=not dialect)
        reason = None
    else:
        api, reason = _api(url, key, variables)
        chosen = _dialect_of(api.name, rejection_codes)
    server = _without_path(url or checked_base_url(chosen.default_base_url), chosen.path_prefix)
    if url is not None:
        _check_url(url, chosen, BASE_URL if not base_url else "base_url")
    withheld = None
    if key is None:
        key, withheld = _key_of_luma(chosen, server, variables)
    else:
        _check_key(key, chosen, server)
    return ServerChoice(chosen, server, reason, key, withheld)


def _api(url: str | None, key: Secret | None, variables: Mapping[str, str]) -> tuple[KnownAPI, str]:
    """Return the API of a server that no dialect was given for, with the reason."""
    if url is not None:
        parts = urlsplit(url)
        if (api := api_at(parts.hostname)) is not None:
            return api, f"its host is {api.host}"
        if parts.path.endswith(DREAM_MACHINE.path):
            return DREAM_MACHINE, f"the path of its base URL is {DREAM_MACHINE.path}"
    if key is not None:
        if (api := api_of_key(key)) is not None:
            return api, f"API keys of {api.title} {api.key_form}"
    elif url is None:
        for api in LUMA_APIS:
            if api.key_variable in variables:
                return api, f"{api.key_variable} is set, and {API_KEY} is not"
    return GATEWAY, "neither its URL nor the API key is that of another API"


def _dialect_of(
    given: Dialect | str, rejection_codes: Collection[str], *, from_variable: bool = False
) -> Dialect:
    """Return a dialect by its name; an object is a dialect already.

    Raises:
        ConfigurationError: it is not a dialect, or there is none of this name.

    """
    if isinstance(given, type):
        raise ConfigurationError(
            f"dialect must be an object, got the class {given.__name__}; pass {given.__name__}()."
        )
    if not isinstance(given, str):
        if not hasattr(given, "default_base_url"):
            raise ConfigurationError(
                f"dialect must be one of {', '.join(NAMES)}, or a Dialect, got {given!r}."
            )
        return given
    make = _DIALECTS.get(given.strip().lower().replace("_", "-"))
    if make is None:
        place, allowed = DIALECT if from_variable else "dialect", ", ".join(NAMES)
        raise ConfigurationError(f"{place} must be one of {allowed}, got {given!r}.")
    return make(rejection_codes)


def _without_path(url: str, prefix: str) -> str:
    """Return a base URL without the path with which the calls of its dialect begin."""
    path = urlsplit(url).path
    return url.removesuffix(prefix).rstrip("/") if prefix and path.endswith(prefix) else url


def _check_url(url: str, dialect: Dialect, source: str) -> None:
    """Check that a base URL is not that of another API, and does not end with the path of a call.

    Raises:
        ConfigurationError: it certainly is, or does.

    """
    own, at_host = api_of_dialect(dialect.name), api_at(urlsplit(url).hostname)
    if own is None:
        return
    if at_host is not None and at_host is not own:
        other = "" if own is GATEWAY else f", or {source}='https://{own.host}' with {own.name!r}"
        raise ConfigurationError(
            f"{source} has the host {at_host.host} of {at_host.title}, but the dialect is "
            f"{own.name!r}. Set the dialect to {at_host.name!r}{other}."
        )
    problem = path_problem(url, own)
    if problem is not None and problem.is_certain:
        raise ConfigurationError(f"{source} {problem.text}.")


def _check_key(key: Secret, dialect: Dialect, server: str) -> None:
    """Check that an API key is not sent to a host that certainly has other API keys.

    Raises:
        ConfigurationError: it would be. The error does not contain the API key.

    """
    owner, host = api_of_key(key), urlsplit(server).hostname
    others = {api.host for api in (AGENTS, DREAM_MACHINE, GATEWAY) if api is not owner}
    if owner is not None and host in others:
        raise ConfigurationError(
            f"The API key is one of {owner.title}, whose API keys {owner.key_form}; it was not "
            f"sent to {host} (dialect {dialect.name!r}). Set the dialect to {owner.name!r} and "
            f"pass no other base_url to use {owner.title}, or an API key of {host}."
        )


def _key_of_luma(
    dialect: Dialect, server: str, variables: Mapping[str, str]
) -> tuple[Secret | None, str | None]:
    """Return the API key in the variable of a dialect, or a variable that is for other servers."""
    own = _variable_of(dialect)
    if own is not None and own in variables:
        return (Secret(variables[own]), None) if _may_have_keys_of_luma(server) else (None, own)
    return None, next((name for name in OFFICIAL_KEY_VARIABLES if name in variables), None)


def _variable_of(dialect: Dialect) -> str | None:
    api = api_of_dialect(dialect.name)
    return None if api is None else api.key_variable


def _may_have_keys_of_luma(server: str) -> bool:
    parts = urlsplit(server)
    return parts.scheme == "https" and api_at(parts.hostname) is not None


def _known(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set, with the API keys hidden from tracebacks."""
    found = {name: variables.get(name, "").strip() for name in (API_KEY, *OFFICIAL_KEY_VARIABLES)}
    found = {name: Secret(value) for name, value in found.items()}
    found |= {name: variables.get(name, "").strip() for name in (BASE_URL, DIALECT)}
    return {name: value for name, value in found.items() if value}
