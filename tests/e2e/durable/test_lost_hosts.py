"""An input that takes whole hosts down, with nobody left to count: it is given up after a few, and no other one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from leases import shorten_leases
from sites import APP, Service, Site, dead_letters, named, until

from busfn import FunctionCall, errors
from busfn.binding import DEFAULT
from busfn.bus.base import Delivery, Verdict
from busfn.streams import consumers

FEW = 12
"""Hosts that a single input and one in a chunk of eight may take down, both together."""


Input = tuple[FunctionCall[Any], int]


def hosts_lost(inputs: list[Input]) -> int:
    """Start one host after another until all inputs have failed; returns how many were lost."""
    with ThreadPoolExecutor() as pool:
        ends = [pool.submit(fail, *each) for each in inputs]
        for lost in range(FEW + 1):
            ended = live_and_die([end.done for end in ends])
            if ended:
                return lost
    raise AssertionError("it goes on for ever")


def live_and_die(conditions: list[Callable[[], bool]]) -> bool:
    """Run a host until it is lost, or all conditions hold; tells whether they do."""
    host = Service(f"{APP}::takes_host", 2)
    until(lambda: host.ended or all(condition() for condition in conditions), patience=120)
    host.stop()
    return all(condition() for condition in conditions)


def fail(call: FunctionCall[Any], index: int) -> None:
    with pytest.raises(errors.InternalFailure):
        call.get(timeout=120, index=index)


def test_an_input_that_takes_hosts_down_is_given_up_and_no_other(site: Site, path: str, full: bool) -> None:
    shorten_leases("durable", "takes_host", 1.5)
    take = named("takes_host")
    good = [take.spawn(path, f"good {x}") for x in range(20)]
    bad = [(take.spawn(path, "down"), 0)]
    if full:
        bad.append((take.spawn_map([path] * 8, [*(f"chunk {x}" for x in range(7)), "down"]), 7))
    good += [take.spawn(path, f"good {x}") for x in range(20, 40)]
    assert 3 <= hosts_lost(bad) <= (FEW if full else 4)
    host = Service(f"{APP}::takes_host", 2).wait_ready()
    assert [call.get(timeout=30) for call in good] == [f"good {x}" for x in range(40)]
    letters = dead_letters()
    assert sorted(letters) == sorted(f"{call.object_id.rpartition('.')[2]}.{index}" for call, index in bad)
    assert {(letter["reason"], letter["crashes"]) for letter in letters.values()} == {("InternalFailure", 3)}
    host.stop()


def test_an_input_that_merely_waited_where_it_was_lost_is_never_blamed(site: Site) -> None:
    site.serve("square", 1).stop()  # makes the streams
    call = named("square").spawn(7)
    link = DEFAULT.require("a test").link

    async def hand_out(times: int) -> None:
        """Take it without starting it, again and again."""
        enough = asyncio.Event()

        def give_back(delivery: Delivery) -> None:
            link.bus.queues.settle(delivery.token, Verdict.NAK)
            if delivery.deliveries >= times:
                enough.set()

        _, jobs = consumers(link.subjects, "durable", "square")
        puller = link.bus.queues.pull(jobs, lambda: 1, give_back)
        await enough.wait()
        await puller.stop()

    link.portal.run(hand_out(50))
    site.serve("square", 1)
    assert call.get(timeout=30) == 49
