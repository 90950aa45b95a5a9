"""Certificates for servers on loopback, and contexts that trust them."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

import trustme


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


def server_context() -> ssl.SSLContext:
    """Return the context of a server at 127.0.0.1, ::1 or localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("127.0.0.1", "::1", "localhost").configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    """Return a client's context that trusts such servers, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _authority().configure_trust(context)
    return context


def write_authority(path: Path) -> Path:
    """Write the certificate of the authority into a file, for programs, and return its path."""
    _authority().cert_pem.write_to_path(str(path))
    return path
