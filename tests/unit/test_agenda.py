from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from busfn_services.agenda import Agenda, Entry

moments = st.lists(st.integers(0, 1000), max_size=60)


def entries(dues: list[int]) -> list[Entry]:
    return [Entry(due, "stream", f"subject.{number}") for number, due in enumerate(dues)]


def drain(agenda: Agenda, all_of_them: set[Entry]) -> list[Entry]:
    """As a reader does: what is due next is taken, and all are read again when it says so."""
    taken: list[Entry] = []
    while len(agenda) or agenda.exhausted:
        if agenda.exhausted:
            agenda.replace(all_of_them - set(taken))
        taken += agenda.pop(agenda.next)
    return taken


@given(moments, moments, st.integers(1, 5))
def test_all_are_taken_once_and_in_order_however_few_are_remembered(listed, told, room):
    agenda = Agenda(room)
    one, other = entries(listed), [Entry(due, "stream", f"told.{number}") for number, due in enumerate(told)]
    agenda.replace(one)
    for entry in other:
        agenda.add(entry)
        agenda.add(entry)  # by others, who do the same
        assert len(agenda) <= 2 * room
    taken = drain(agenda, {*one, *other})
    assert sorted(taken) == sorted({*one, *other})
    assert [entry.due for entry in taken] == sorted(entry.due for entry in taken)


def test_only_what_is_due_is_taken():
    agenda = Agenda()
    agenda.replace(entries([3, 1, 2]))
    assert [entry.due for entry in agenda.pop(2)] == [1, 2]
    assert (agenda.next, len(agenda), agenda.exhausted) == (3, 1, False)
    assert [entry.due for entry in agenda.pop(2)] == []
    assert [entry.due for entry in agenda.pop(3)] == [3]
    assert (agenda.next, agenda.exhausted) == (math.inf, False)
