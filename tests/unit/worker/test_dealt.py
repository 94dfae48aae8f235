from __future__ import annotations

import asyncio

import pytest

from busfn_services.flight import Kind
from busfn_services.worker.dealt import Dealt

pytestmark = pytest.mark.anyio


async def test_a_delivery_counts_as_dealt_with_when_what_refused_it_has_been_written():
    """As the connection does it: what is sent in a turn is written in the next one."""
    loop, seen = asyncio.get_running_loop(), list[object]()
    dealt = Dealt(loop, lambda kind, order: seen.append((kind, order)))
    for order in range(1, 4):
        loop.call_soon(seen.append, f"refusal {order} is written")
        dealt.add(Kind.JOB, order)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for order in range(1, 4):
        assert seen.index(f"refusal {order} is written") < seen.index((Kind.JOB, order))


async def test_of_several_in_a_turn_the_last_one_is_noted():
    loop, seen = asyncio.get_running_loop(), list[object]()
    dealt = Dealt(loop, lambda kind, order: seen.append((kind, order)))
    for order in range(1, 4):
        dealt.add(Kind.JOB, order)
        dealt.add(Kind.OVERFLOW, 10 * order)
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == [(Kind.JOB, 3), (Kind.OVERFLOW, 30)]
