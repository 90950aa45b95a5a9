"""Address policy: keep links from servers out of private networks.

A link to the user's own machine, home network or cloud metadata service would make the client send
requests that only the user can send (server-side request forgery).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from enum import StrEnum

from aiohttp.abc import AbstractResolver, ResolveResult

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_EMBEDDED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))
"""IPv6 networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052) and the deprecated
IPv4-compatible addresses (RFC 4291)."""

_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""Prefix for NAT64 within one organisation (RFC 8215)."""

_SHARED = ipaddress.IPv4Network("100.64.0.0/10")
"""Addresses behind carrier-grade NAT (RFC 6598)."""

_BENCHMARKS = ipaddress.IPv4Network("198.18.0.0/15")
"""Addresses for benchmarks (RFC 2544). Local proxies answer with them for public names."""


class Network(StrEnum):
    """Kind of a network that is not public."""

    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    PRIVATE = "private"
    RESERVED = "reserved"


class PrivateAddressError(Exception):
    """Signal that a host is in a network that is not public."""

    def __init__(self, host: str, networks: Iterable[Network]) -> None:
        kinds = " and ".join(sorted({network.value for network in networks}))
        super().__init__(f"{host} has a {kinds} address")


def network_of(address: IPAddress) -> Network | None:
    """Return the kind of network of an address, `None` for a public address."""
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)) is not None:
        return network_of(inner)
    if address.is_loopback or address.is_unspecified:  # 0.0.0.0 connects to this machine
        return Network.LOOPBACK
    if address.is_link_local:
        return Network.LINK_LOCAL
    if isinstance(address, ipaddress.IPv6Address):
        is_private = address.is_site_local or address in _LOCAL_NAT64
    else:
        is_private = address in _SHARED
    if not is_private and (address.is_multicast or address.is_reserved):
        return Network.RESERVED
    return Network.PRIVATE if is_private or not address.is_global else None


def literal_address(host: str) -> IPAddress | None:
    """Return the IP address in the text of a host, `None` for a name.

    >>> literal_address("127.1"), literal_address("[::1]"), literal_address("localhost.")
    (IPv4Address('127.0.0.1'), IPv6Address('::1'), IPv4Address('127.0.0.1'))
    """
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    try:  # short forms such as 127.1, 0x7f000001 and 2130706433
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


class AddressPolicy:
    """Allow links to public addresses, and to the kinds of network that the server is in."""

    def __init__(self, server_host: str, *, allow_private: bool) -> None:
        self.allows_all = allow_private
        self._server_host = _normalized(server_host)
        self._server_networks: frozenset[Network] | None = None

    async def check_host(self, host: str) -> bool:
        """Check the text of a host, and return `True` if its name must be resolved and checked.

        Raises:
            PrivateAddressError: the host is an address in a private network.

        """
        if self.allows_all or _normalized(host) == self._server_host:
            return False
        address = literal_address(host)
        if address is None:
            return True
        network = network_of(address)
        if network is not None and network not in await self._networks():
            raise PrivateAddressError(host, [network])
        return False

    async def allowed(self, host: str, answers: list[ResolveResult]) -> list[ResolveResult]:
        """Return the allowed addresses of a host.

        Raises:
            PrivateAddressError: none of the addresses is allowed.

        """
        if self.allows_all or _normalized(host) == self._server_host:
            return answers
        found = [(answer, _network_of_answer(answer)) for answer in answers]
        if all(network is None for _, network in found):
            return answers
        networks = await self._networks()
        allowed = [answer for answer, network in found if network is None or network in networks]
        if not allowed:
            raise PrivateAddressError(host, [network for _, network in found if network])
        return allowed

    async def _networks(self) -> frozenset[Network]:
        """Return the kinds of private network that the server is in."""
        if self._server_networks is None:
            address = literal_address(self._server_host)
            addresses = [address] if address else await _resolve(self._server_host)
            if not addresses:
                return frozenset()
            self._server_networks = frozenset(filter(None, map(network_of, addresses)))
        return self._server_networks


class CheckingResolver(AbstractResolver):
    """Resolve names, and leave out the addresses that the policy does not allow.

    aiohttp calls the resolver for each new connection, so a name whose address changes (DNS
    rebinding) is checked again.
    """

    def __init__(self, policy: AddressPolicy, resolver: Callable[[], AbstractResolver]) -> None:
        self._policy = policy
        self._resolver = resolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a host.

        Raises:
            PrivateAddressError: none of the addresses is allowed.

        """
        answers = await self._resolver.resolve(host, port, family)
        return await self._policy.allowed(host, answers)

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._resolver.close()


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address within an IPv6 address, `None` if there is none."""
    inner = address.ipv4_mapped or address.sixtofour
    # :: and ::1 are in the network of IPv4-compatible addresses, but are not such addresses.
    if inner is None and int(address) > 1 and any(address in each for each in _EMBEDDED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner


def _network_of_answer(answer: ResolveResult) -> Network | None:
    """Return the kind of network of a resolved address, `None` if links may lead there."""
    address = literal_address(answer["host"])
    if address is None or address in _BENCHMARKS:
        return None
    return network_of(address)


async def _resolve(host: str) -> list[IPAddress]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


def _normalized(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
