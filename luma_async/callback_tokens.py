"""Callback tokens: unguessable texts that stand for the submissions in the paths of their hooks."""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64encode
from binascii import Error
from uuid import UUID

TAG_SIZE = 16
"""Bytes of the authentication code. Nobody can guess 128 bits."""

TOKEN_LENGTH = 43
"""Characters of a token: 32 bytes in Base64."""

_PURPOSE = b"luma-async callback tokens 1"


class CallbackTokens:
    """Tokens for request ids, and the check of tokens. Pure, and in constant time.

    A token is the request id and an authentication code of it (HMAC-SHA256, truncated to 128 bits
    as RFC 2104 section 5 allows). So no token need be stored, and every process that knows the
    secret can check it.

    >>> tokens = CallbackTokens("a secret")
    >>> token = tokens.token("6f1f9a0e-54f2-4c1e-9b7f-0d7d5c1f5a11")
    >>> tokens.request_id(token)
    '6f1f9a0e-54f2-4c1e-9b7f-0d7d5c1f5a11'
    >>> tokens.request_id("x" * 43) is None
    True
    """

    def __init__(self, secret: str) -> None:
        self._secret = hmac.digest(secret.encode(), _PURPOSE, "sha256")

    def __repr__(self) -> str:
        return "<CallbackTokens>"

    def token(self, request_id: str) -> str:
        """Return the token for a request id, a UUID.

        Raises:
            ValueError: the request id is not a UUID.

        """
        id = UUID(request_id).bytes
        return urlsafe_b64encode(id + self._tag(id)).rstrip(b"=").decode()

    def request_id(self, token: str) -> str | None:
        """Return the request id of a valid token, and `None` for any other text."""
        try:
            data = b64decode(token[:TOKEN_LENGTH].encode("ascii") + b"=", b"-_", validate=True)
        except (Error, ValueError):
            data = b""
        id = data[:-TAG_SIZE] if len(data) == 2 * TAG_SIZE else bytes(TAG_SIZE)
        is_valid = hmac.compare_digest(self._tag(id), data[-TAG_SIZE:])
        return str(UUID(bytes=id)) if is_valid and len(token) == TOKEN_LENGTH else None

    def _tag(self, id: bytes) -> bytes:
        return hmac.digest(self._secret, id, "sha256")[:TAG_SIZE]
