from __future__ import annotations

import re
import time
import uuid

from busfn.ids import new_call_id

COUNT = 5000


def stamp(call: str) -> int:
    return int(call[:12], 16)


def now() -> int:
    return int(time.time() * 1000)


def test_an_id_is_32_lower_case_hex_digits():
    for _ in range(COUNT):
        assert re.fullmatch(r"[0-9a-f]{32}", new_call_id())


def test_an_id_is_a_uuid_of_version_7():
    for _ in range(COUNT):
        parsed = uuid.UUID(new_call_id())
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_an_id_tells_the_millisecond_it_was_made_in():
    for _ in range(COUNT):
        before = now()
        made = stamp(new_call_id())
        assert before <= made <= now()


def test_an_id_of_a_later_millisecond_sorts_behind():
    first = new_call_id()
    while now() <= stamp(first):
        pass
    assert first < new_call_id()


def test_ids_of_one_millisecond_differ():
    made = {new_call_id() for _ in range(COUNT)}
    assert len(made) == COUNT
    assert len({stamp(call) for call in made}) < COUNT


def test_every_random_bit_is_used():
    fixed = int("ffffffffffff" + "f000" + "c" + "0" * 15, 16)  # time, version, variant
    ones, zeros = 0, 0
    for _ in range(COUNT):
        number = int(new_call_id(), 16)
        ones |= number
        zeros |= ~number
    assert ones & ~fixed == ~fixed & (1 << 128) - 1
    assert zeros & ~fixed & (1 << 128) - 1 == ~fixed & (1 << 128) - 1
