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

_ID_SIZE = 16
"""Bytes of a request id, a UUID."""

_ID_LENGTH = 22
"""Characters of a token that contain the request id, and the first bits of the code."""

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
        return self._token(UUID(request_id).bytes).decode()

    def request_id(self, token: str) -> str | None:
        """Return the request id of a valid token, and `None` for any other text.

        The whole token is made again from its first part, so that only one text is valid.
        """
        try:
            given = token.encode("ascii")
            id = b64decode(given[:_ID_LENGTH] + b"==", b"-_")
        except (Error, ValueError):
            given, id = b"", b""
        if len(given) != TOKEN_LENGTH or len(id) != _ID_SIZE:
            given, id = b"", bytes(_ID_SIZE)  # not valid, and compared in the same way
        return str(UUID(bytes=id)) if hmac.compare_digest(self._token(id), given) else None

    def _token(self, id: bytes) -> bytes:
        tag = hmac.digest(self._secret, id, "sha256")[:TAG_SIZE]
        return urlsafe_b64encode(id + tag).rstrip(b"=")
