"""Versions that somebody insists on, as the registry keeps them."""

from __future__ import annotations

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.protocol.subjects import Subjects
from busfn.registry import PIN_AGE, Registry

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


@pytest.fixture
async def bus(anyio_backend: object) -> MemoryBus:
    return MemoryBus(MemoryBroker())


@pytest.fixture
async def registry(bus: MemoryBus) -> Registry:
    return Registry(bus, Subjects())


async def wanted(registry: Registry) -> dict[tuple[str, int], float]:
    return {(pin.app, pin.version): pin.wanted_at for pin in await registry.pins()}


async def test_a_pin_notes_when_it_was_wanted_but_not_each_time(registry: Registry) -> None:
    await registry.pin("shop", 1, NOW)
    await registry.pin("shop", 1, NOW + PIN_AGE / 2)
    assert await wanted(registry) == {("shop", 1): NOW}
    await registry.pin("shop", 1, NOW + PIN_AGE + 1)
    await registry.pin("shop", 2, NOW)
    assert await wanted(registry) == {("shop", 1): NOW + PIN_AGE + 1, ("shop", 2): NOW}


async def test_an_ended_pin_is_gone_and_can_be_made_again(registry: Registry) -> None:
    await registry.pin("shop", 1, NOW)
    [pin] = await registry.pins()
    assert await registry.end_pin(pin)
    assert await registry.pins() == []
    await registry.pin("shop", 1, NOW + 1)
    assert await wanted(registry) == {("shop", 1): NOW + 1}


async def test_a_pin_that_was_renewed_meanwhile_is_not_ended(registry: Registry) -> None:
    await registry.pin("shop", 1, NOW)
    [pin] = await registry.pins()
    await registry.pin("shop", 1, NOW + 2 * PIN_AGE)
    assert not await registry.end_pin(pin)
    assert await wanted(registry) == {("shop", 1): NOW + 2 * PIN_AGE}


async def test_a_pin_of_an_older_busfn_has_no_time(bus: MemoryBus, registry: Registry) -> None:
    await bus.table(Subjects().table).put("pin.shop.1", b"")
    assert await wanted(registry) == {("shop", 1): 0.0}
