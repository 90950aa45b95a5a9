"""Generations are frozen, and their states are ordered."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from luma_async import Generation, State


def test_a_generation_cannot_be_changed() -> None:
    """A status of a job cannot be changed afterwards."""
    generation = Generation(id="a", state=State.PENDING)

    with pytest.raises(ValidationError, match="frozen"):
        generation.state = State.FAILED  # type: ignore[misc]
    assert {generation}


def test_terminal_states_are_the_last_two() -> None:
    """Completed and failed are final."""
    assert [state for state in State if state.terminal] == [State.COMPLETED, State.FAILED]
