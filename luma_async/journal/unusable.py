"""Internal errors about databases that cannot be used as a journal."""

from __future__ import annotations


class ReplacedError(OSError):
    """The file is no longer the one that was opened."""


class Unusable(Exception):  # noqa: N818  an internal signal, never shown to users
    """The database cannot be used as a journal; the text has the reason."""
