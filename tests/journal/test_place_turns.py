"""How many submissions try to take a shared place, and that none waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from luma_async.journal.place_turns import PlaceTurns

EVENTS = st.lists(
    st.sampled_from(["come", "leave", "outcome", "not sent", "free", "free unnoticed", "probe"]),
    max_size=80,
)


class Journal:
    """Places that others take and free as well, and the submissions of one client."""

    def __init__(self, max_tasks: int) -> None:
        self.turns = PlaceTurns(max_tasks)
        self.max_tasks = max_tasks
        self.taken = 0
        self.refused = 0

    def come(self) -> None:
        if self.turns.must_wait:
            self.turns.waiting += 1
        else:
            self.turns.begin()
        self.let_go()

    def let_go(self) -> None:
        while self.turns.turns:
            self.turns.waiting -= 1
            self.turns.begin()

    def outcome(self, *, is_sent: bool = True) -> None:
        if not self.turns.trying:
            return
        if not is_sent:
            self.turns.unused()
        elif self.taken < self.max_tasks:
            self.taken += 1
            self.turns.succeeded()
        else:
            self.refused += 1
            self.turns.failed()
            self.turns.waiting += 1
        self.let_go()

    def leave(self) -> None:
        if self.turns.waiting:
            self.turns.left()

    def free(self, *, noticed: bool) -> None:
        if self.taken:
            self.taken -= 1
            if noticed:
                self.turns.freed(1)
                self.let_go()

    def probe(self) -> None:
        self.turns.probe()
        self.let_go()


@given(max_tasks=st.integers(1, 5), events=EVENTS)
@example(max_tasks=1, events=["come", "outcome", "come", "outcome", "leave"])
def test_no_submission_waits_while_a_place_is_free(max_tasks: int, events: list[str]) -> None:
    """Whatever happened before, all get places in turn; at most `max_tasks` try at once."""
    journal = Journal(max_tasks)
    happens: dict[str, Callable[[], None]] = {
        "come": journal.come,
        "leave": journal.leave,
        "outcome": journal.outcome,
        "not sent": partial(journal.outcome, is_sent=False),
        "free": partial(journal.free, noticed=True),
        "free unnoticed": partial(journal.free, noticed=False),
        "probe": journal.probe,
    }
    for event in events:
        happens[event]()
        assert 0 <= journal.turns.trying <= max_tasks + 1  # one more may try as a probe
        assert journal.turns.waiting >= 0
        if not journal.turns.waiting and not journal.turns.trying:
            assert not journal.turns.is_full
    for _ in range(400):
        while journal.turns.trying:
            journal.outcome()
        if not journal.turns.waiting:
            break
        journal.free(noticed=False)
        journal.probe()
    assert not journal.turns.waiting
    assert not journal.turns.trying


def test_each_place_that_becomes_free_lets_one_try() -> None:
    """A thousand submissions are refused no more often than there are places."""
    journal = Journal(20)
    for _ in range(1000):
        journal.come()
    assert journal.turns.trying == 20
    while journal.turns.trying:
        journal.outcome()
    assert journal.taken == 20
    assert journal.refused == 20
    for _ in range(50):
        journal.free(noticed=True)
        journal.outcome()
        assert journal.turns.trying == 0
    assert journal.refused == 20


def test_news_during_a_try_is_not_lost() -> None:
    """A place may become free after the journal was read, and before its answer is here."""
    turns = PlaceTurns(1)
    turns.begin()
    turns.freed(1)
    turns.failed()
    turns.waiting += 1
    assert turns.turns == 1


def test_places_that_became_free_unnoticed_are_found_quickly() -> None:
    """Each probe that succeeds is followed by two tries, and so on."""
    journal = Journal(16)
    for _ in range(64):
        journal.come()
    while journal.turns.trying:
        journal.outcome()
    for _ in range(15):
        journal.free(noticed=False)
    journal.probe()
    rounds = 0
    while journal.turns.trying:
        rounds += 1
        for _ in range(journal.turns.trying):
            journal.outcome()
    assert journal.taken == 16
    assert rounds <= 5
