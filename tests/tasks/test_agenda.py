"""The agenda: due items come first, and the next items fill the batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luma_async.tasks.agenda import Agenda

DUES = st.lists(st.floats(0, 100), max_size=50)


def agenda_of(dues: list[float], over: set[int] | None = None) -> Agenda[int]:
    over = over or set()
    agenda: Agenda[int] = Agenda(lambda item: item in over)
    for number, due in enumerate(dues):
        agenda.add(number, due)
    return agenda


@given(DUES, st.floats(0, 100), st.integers(1, 10))
def test_the_next_items_are_taken(dues: list[float], now: float, most: int) -> None:
    """Items come in order up to the maximum, and none while none is due."""
    taken = agenda_of(dues).take(now, most)

    if dues and min(dues) <= now:
        assert [dues[number] for number in taken] == sorted(dues)[:most]
    else:
        assert taken == []


@given(DUES, st.sets(st.integers(0, 49)))
def test_finished_items_never_come_up(dues: list[float], over: set[int]) -> None:
    """All other items come up exactly once."""
    agenda = agenda_of(dues, over)

    taken = []
    while (due := agenda.next_due()) is not None:
        taken += agenda.take(due, 3)

    assert sorted(taken) == [number for number in range(len(dues)) if number not in over]


def test_those_due_at_the_same_time_come_in_the_order_they_were_added() -> None:
    """Items with equal times keep the order in which they were added."""
    assert agenda_of([5.0] * 10).take(5.0, 10) == list(range(10))


@given(DUES, st.data())
def test_an_item_can_be_removed(dues: list[float], data: st.DataObject) -> None:
    """All other items come up as before, also if the slot of the item is open or empty then."""
    agenda = agenda_of(dues)
    taken = agenda.take(data.draw(st.floats(0, 100)), data.draw(st.integers(1, 10)))
    before = set(taken)
    gone = set(data.draw(st.lists(st.integers(0, 49))))

    for number in gone:
        is_there = number < len(dues) and number not in before
        due = dues[number] if number < len(dues) else 1.0
        assert agenda.remove(number, due) is is_there
        assert not agenda.remove(number, due)
    while (due_next := agenda.next_due()) is not None:
        taken += agenda.take(due_next, 3)

    assert sorted(taken) == [
        number for number in range(len(dues)) if number in before or number not in gone
    ]


def test_an_agenda_can_be_cleared() -> None:
    """An agenda that was cleared is empty."""
    agenda = agenda_of([1.0, 2.0])

    agenda.clear()

    assert agenda.next_due() is None
    assert agenda.take(100.0, 10) == []
