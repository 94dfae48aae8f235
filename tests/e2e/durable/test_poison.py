"""Inputs that break their workers end as dead letters, and nobody else notices."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from leases import shorten_leases
from sites import Site, busfn, dead_letters, named

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT
from busfn.ids import new_call_id

ENDS = {
    # how: (error, attempts in the letter, workers lost, times it ran)
    "raise": (ZeroDivisionError, 3, 0, 3),
    "hang": (errors.FunctionTimeoutError, 3, 0, 3),
    "hang in C": (errors.FunctionTimeoutError, 3, 0, 3),
    "segfault": (errors.InternalFailure, 1, 3, 3),
    "memory": (errors.InternalFailure, 1, 3, 3),
    "exit": (errors.InternalFailure, 1, 3, 3),
    "unpicklable": (errors.SerializationError, 1, 0, 1),
}


def undecodable() -> FunctionCall[Any]:
    """Published raw, as any client may."""
    link = DEFAULT.require("a test").link
    call = new_call_id()
    headers = {"Busfn-Protocol": "1", "Busfn-Call": call, "Content-Type": "application/msgpack"}
    link.portal.run(link.bus.queues.enqueue(link.subjects.job("durable", "poison", call), b"\xc1", headers))
    return FunctionCall.from_id(f"durable.poison.{call}")


def test_poison_kills_nobody_else_and_is_retried_after_a_fix(site: Site, path: str, full: bool) -> None:
    size = 1000 if full else 300
    if not full:
        shorten_leases("durable", "poison", 8.0)  # still longer than a body that hangs is let live
    site.serve("poison", 2)
    before = named("poison").spawn_map([path] * size, [f"good {x}" for x in range(size)])
    bad = {how: named("poison").spawn(path, how) for how in ENDS}
    raw = undecodable()
    after = named("poison").spawn_map([path] * size, [f"good {x}" for x in range(size, 2 * size)])
    for how, (error, *_) in ENDS.items():
        with pytest.raises(error):
            bad[how].get(timeout=120)
    with pytest.raises(errors.DeserializationError):
        raw.get(timeout=60)
    assert [*before.iter(), *after.iter()] == [f"good {x}" for x in range(2 * size)]
    letters = dead_letters()
    assert len(letters) == len(ENDS) + 1
    ran = Counter(Path(path).read_text().splitlines())
    for how, (error, attempts, lost, times) in ENDS.items():
        letter = letters[f"{bad[how].object_id.rpartition('.')[2]}.0"]
        assert (letter["reason"], letter["attempts"], letter["crashes"]) == (error.__name__, attempts, lost), how
        # A neighbour may take the worker down before an outcome is stored; then that attempt is made again.
        assert ran[how] >= times, how
    Path(path + ".fixed").touch()
    site.dismiss()
    assert busfn("dead", "retry", "--function", "poison") == f"{len(letters)} queued again\n"
    with ThreadPoolExecutor(len(ENDS)) as pool:
        waiting = [pool.submit(bad[how].get, timeout=60) for how in ENDS]
        assert not any(get.done() for get in waiting)
        site.serve("poison", 2)
        assert [get.result() for get in waiting] == list(ENDS)
    with pytest.raises(errors.DeserializationError):  # no fix of the function makes it readable
        raw.get(timeout=60)
    assert len(dead_letters()) == 1
