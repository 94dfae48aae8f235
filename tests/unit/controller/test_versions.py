from __future__ import annotations

import pytest

from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.bus.stores import Table
from busfn.deployment import Deployment
from busfn.protocol.codecs import BlobRef
from busfn.protocol.subjects import Subjects
from busfn.registry import Registry
from busfn_services.controller.versions import READ_AGAIN, Versions

pytestmark = pytest.mark.anyio

SUBJECTS = Subjects()
BUNDLE = BlobRef(name="b1", size=1, chunks=1, sha256="ab" * 32)
SHOP = ("shop", 1)


@pytest.fixture
async def bus(anyio_backend: object) -> MemoryBus:
    return MemoryBus(MemoryBroker())


@pytest.fixture
async def table(bus: MemoryBus) -> Table:
    made = bus.table(SUBJECTS.table)
    await made.create("version.shop.1", Deployment(app="shop", version=1, bundle=BUNDLE, deployed_at=1.0).encode(b"k"))
    return made


async def test_a_version_is_read_once(bus, table):
    versions = Versions(Registry(bus, SUBJECTS))
    assert (await versions.read([SHOP], 0.0))[SHOP].deployed_at == 1.0
    await table.delete("version.shop.1")
    assert SHOP in await versions.read([SHOP], 10_000.0)


@pytest.mark.parametrize("stored", [None, b"{}", b"\xff"])
async def test_one_that_cannot_be_read_is_left_out_and_read_again_later(bus, table, stored):
    whole = await table.get("version.shop.1")
    await (table.delete("version.shop.1") if stored is None else table.put("version.shop.1", stored))
    versions = Versions(Registry(bus, SUBJECTS))
    assert await versions.read([SHOP], 0.0) == {}
    await table.put("version.shop.1", whole)
    assert await versions.read([SHOP], READ_AGAIN - 1) == {}
    assert SHOP in await versions.read([SHOP], READ_AGAIN)
