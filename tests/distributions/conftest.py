"""The files of a release for the tests of them."""

from __future__ import annotations

from tests.distributions.built import distributions

__all__ = ["distributions"]
