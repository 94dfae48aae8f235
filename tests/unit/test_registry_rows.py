"""Rows of the registry that cannot be read are set aside and listed; the rest counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.bus.stores import Entry, Table
from busfn.deployment import Deployment
from busfn.errors import NotFoundError, ProtocolError
from busfn.protocol.codecs import BlobRef
from busfn.protocol.subjects import Subjects
from busfn.registry import Registry
from busfn.registry_rows import ROWS, fault
from busfn.spec import FunctionSpec

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
SPEC = FunctionSpec(app="shop", name="f", source={"kind": "script"}, qualname="f")
DRAFT = Deployment(
    app="shop", functions=(SPEC,), bundle=BlobRef(name="n", size=5, chunks=1, sha256="a" * 64), deployed_at=1.0
)
BAD = {
    "app.x": b"{}", "app.y": b'{"version": "1", "stopped": false}', "app.z": b"\xff", "app.a b": b'{"version": 1}',
    "version.shop.99": b'{"deployment": "{}", "signature": "\xc3\xbc"}', "version.shop.x": b"{}",
    "scale.shop.f": b'{"version": 1, "settings": {"min_containers": "a"}}', "scale.shop": b"[]",
    "pin.shop.1": b"soon", "pin.shop.one": b"1", "pin.shop.2": b"nan", "pin.shop.3": b"1e400",
}  # fmt: skip


@pytest.fixture
async def bus(anyio_backend: object) -> MemoryBus:
    return MemoryBus(MemoryBroker())


@pytest.fixture
async def table(bus: MemoryBus) -> Table:
    return bus.table(Subjects().table)


@pytest.fixture
async def registry(bus: MemoryBus) -> Registry:
    return Registry(bus, Subjects())


async def test_bad_rows_are_set_aside_and_listed(registry: Registry, table: Table) -> None:
    await registry.add(DRAFT, KEY)
    await registry.pin("shop", 5, 1e9)
    for key, value in BAD.items():
        await table.put(key, value)
    assert list(await registry.states()) == ["shop"]
    assert [one.version for one in await registry.history("shop")] == [1]
    assert await registry.overrides() == {}
    assert [(pin.app, pin.version) for pin in await registry.pins()] == [("shop", 5)]
    assert {row.key for row in await registry.bad_rows()} == set(BAD)
    assert all(row.reason for row in await registry.bad_rows())


async def test_a_bad_row_does_not_keep_its_app_from_being_deployed(registry: Registry, table: Table) -> None:
    for key in ("app.shop", "version.shop.3", "scale.shop.f", "pin.shop.1"):
        await table.put(key, b"{}")
    made = await registry.add(DRAFT, KEY)
    assert made.version == 4
    assert (await registry.current("shop")).version == 4
    assert await registry.override("shop", "f", {"min_containers": 2}, lambda _: None) == {"min_containers": 2}
    await registry.pin("shop", 1, 5.0)
    assert [row.key for row in await registry.bad_rows()] == ["version.shop.3"]


async def test_a_deployment_counts_only_where_it_was_stored(registry: Registry, table: Table) -> None:
    await registry.add(DRAFT, KEY)
    stored = await registry.stored("shop", 1)
    for key in ("version.shop.2", "version.other.1"):
        await table.put(key, stored)
    with pytest.raises(ProtocolError, match="moved"):
        await registry.deployment("shop", 2)
    with pytest.raises(ProtocolError, match="moved"):
        await registry.deployment("other", 1)
    with pytest.raises(NotFoundError):
        await registry.deployment("shop", 3)


@given(
    st.binary(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_a_row_is_read_or_said_to_be_bad(value: bytes) -> None:
    for pattern, read in ROWS.items():
        for key in (pattern.replace("*", "1").replace(">", "a.b"), pattern.replace("*", "é").replace(">", "a")):
            fault(key, Entry(value, 1), read)
