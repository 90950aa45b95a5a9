"""Databases that cannot be a journal, as the parts of the journal tell each other."""

from __future__ import annotations


class ReplacedError(OSError):
    """The file is no longer the one that was opened."""


class Unusable(Exception):  # noqa: N818  a signal within the journal, which says the rest
    """The database cannot be a journal, and why."""
