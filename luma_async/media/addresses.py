"""Addresses: tell public networks from private ones, so that no link leads into the latter.

A link comes from a server. One that leads to the user's own machine, home network or cloud
metadata service would have the client make requests that nobody but the user can make.
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
"""IPv6 networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052), and the old form."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")
_BENCHMARKS = ipaddress.IPv4Network("198.18.0.0/15")


class Network(StrEnum):
    """A kind of network that is not public."""

    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    PRIVATE = "private"
    RESERVED = "reserved"


class PrivateAddressError(Exception):
    """A host is in a network that is not public; a signal within downloads."""

    def __init__(self, host: str, networks: Iterable[Network]) -> None:
        kinds = " and ".join(sorted({network.value for network in networks}))
        super().__init__(f"{host} has a {kinds} address")


def network_of(address: IPAddress) -> Network | None:
    """Return the kind of network that an address is in, `None` for a public address."""
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)) is not None:
        return network_of(inner)
    if address.is_loopback or address.is_unspecified:  # systems connect 0.0.0.0 to themselves
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
    """Return the address that a host is written as, `None` for a name.

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
    try:  # forms such as 127.1, 0x7f000001 and 2130706433
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


class AddressPolicy:
    """Decide which addresses links may lead to: public ones, and networks the gateway is in."""

    def __init__(self, gateway_host: str, *, allow_private: bool) -> None:
        self.allows_all = allow_private
        self._gateway_host = _same(gateway_host)
        self._gateway_networks: frozenset[Network] | None = None

    async def check_host(self, host: str) -> bool:
        """Check a host as it is written; return whether the answers for its name are to be checked.

        Raises:
            PrivateAddressError: it is written as an address that links must not lead to.

        """
        if self.allows_all or _same(host) == self._gateway_host:
            return False
        address = literal_address(host)
        if address is None:
            return True
        network = network_of(address)
        if network is not None and network not in await self._networks():
            raise PrivateAddressError(host, [network])
        return False

    async def allowed(self, host: str, answers: list[ResolveResult]) -> list[ResolveResult]:
        """Return those addresses of a host that may be connected to.

        Raises:
            PrivateAddressError: there are only others.

        """
        if self.allows_all or _same(host) == self._gateway_host:
            return answers
        found = [(answer, _network_of_answer(answer)) for answer in answers]
        if all(network is None for _, network in found):
            return answers
        there = await self._networks()
        good = [answer for answer, network in found if network is None or network in there]
        if not good:
            raise PrivateAddressError(host, [network for _, network in found if network])
        return good

    async def _networks(self) -> frozenset[Network]:
        """Return the networks, other than public ones, that the gateway is in."""
        if self._gateway_networks is None:
            address = literal_address(self._gateway_host)
            addresses = [address] if address else await _looked_up(self._gateway_host)
            if not addresses:
                return frozenset()
            self._gateway_networks = frozenset(filter(None, map(network_of, addresses)))
        return self._gateway_networks


class CheckingResolver(AbstractResolver):
    """Resolve names, and leave out addresses that links must not lead to.

    It is asked when a connection is made, so a name whose address changes is checked each time.
    """

    def __init__(self, policy: AddressPolicy, resolver: Callable[[], AbstractResolver]) -> None:
        self._policy = policy
        self._resolver = resolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host that may be connected to.

        Raises:
            PrivateAddressError: there are only others.

        """
        answers = await self._resolver.resolve(host, port, family)
        return await self._policy.allowed(host, answers)

    async def close(self) -> None:
        """Close the resolver within."""
        await self._resolver.close()


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and int(address) > 1 and any(address in each for each in _EMBEDDED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner


def _network_of_answer(answer: ResolveResult) -> Network | None:
    """Return the kind of network of an answer for a name.

    Local proxies answer for public names with addresses kept for benchmarks, where nobody is.
    """
    address = literal_address(answer["host"])
    if address is None or address in _BENCHMARKS:
        return None
    return network_of(address)


async def _looked_up(host: str) -> list[IPAddress]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(about[4][0]) for about in found]


def _same(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
