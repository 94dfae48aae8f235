"""Copies of streams on a cluster, and what hosts that start do to what they find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clusters import Cluster

from busfn.bus.base import StreamSpec
from busfn.config import BusAddress
from busfn.errors import ServiceError, VersionError
from busfn.protocol.subjects import Subjects
from busfn.streams import consumers, streams
from busfn_services.supervisor.context import open_context

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


async def config(bus, stream: str) -> dict:
    return (await bus.queues.api.call(f"STREAM.INFO.{stream}"))["config"]


async def test_a_cluster_keeps_three_copies_of_all(connected, cluster, name):
    context = await open_context(cluster.address, env=name, key=None)
    try:
        await context.bus.table(name).put("a", b"1")
        for spec in streams(Subjects(name)):
            assert (await config(context.bus, spec.name))["num_replicas"] == 3
        assert (await config(context.bus, f"KV_{name}"))["num_replicas"] == 3
        for consumer in consumers(Subjects(name), "app", "f"):
            await context.bus.queues.ensure_consumer(consumer)
            info = await context.bus.queues.api.call(f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
            assert len(info["cluster"]["replicas"]) == 2
    finally:
        await context.bus.close()


async def test_the_number_of_copies_can_be_configured(connected, cluster, name):
    one = await connected(replace(cluster.address, replicas=1))
    spec = StreamSpec(name=name, subjects=(f"{name}.>",), memory=True)
    await one.queues.ensure_stream(spec)
    assert (await config(one, name))["num_replicas"] == 1
    await one.queues.enqueue(f"{name}.a", b"kept")
    automatic = await connected(cluster.address)
    async with asyncio.timeout(60):  # as starts that come later: the leader may not have heard of a server for a moment
        while (await config(one, name))["num_replicas"] != 3:
            await automatic.queues.ensure_stream(spec)
    await one.queues.ensure_stream(spec)  # what there is more is not taken away
    assert (await config(one, name))["num_replicas"] == 3
    assert (await one.queues.latest(name, f"{name}.a")).body == b"kept"
    five = await connected(replace(cluster.address, replicas=5))
    with pytest.raises(ServiceError, match="5 copies are configured"):
        await five.queues.ensure_stream(replace(spec, name=f"{name}x", subjects=(f"{name}x.>",)))


async def test_one_server_keeps_one_copy(connected, address, name):
    bus = await connected(address)
    spec = StreamSpec(name=name, subjects=(f"{name}.>",), memory=True)
    await bus.queues.ensure_stream(spec)
    assert (await config(bus, name))["num_replicas"] == 1
    three = await connected(replace(address, replicas=3))
    with pytest.raises(ServiceError, match="BUSFN_REPLICAS"):
        await three.queues.ensure_stream(replace(spec, name=f"{name}x", subjects=(f"{name}x.>",)))


async def test_hosts_that_start_leave_messages_readers_and_limits_alone(connected, address, name, collect):
    subjects = Subjects(name)
    jobs, (_, reader) = subjects.stream("JOBS"), consumers(subjects, "app", "f")
    first = await open_context(address, env=name, key=None)
    await first.bus.queues.ensure_consumer(replace(reader, ack_wait=7))
    for number in range(5):
        await first.bus.queues.enqueue(subjects.job("app", "f", f"c{number}"), b"")
    got = collect()
    first.bus.queues.pull(reader, lambda: 2 - len(got.items), got)
    await got.reach(2)
    limited = {**(await config(first.bus, jobs)), "max_bytes": 1 << 20, "metadata": {}}
    await first.bus.queues.api.call(f"STREAM.UPDATE.{jobs}", limited)  # an operator's limit, on an old layout

    async def start(address: BusAddress) -> None:
        context = await open_context(address, env=name, key=None)
        for consumer in consumers(subjects, "app", "f"):
            await context.bus.queues.ensure_consumer(consumer)
        await context.bus.close()

    await asyncio.gather(*(start(address) for _ in range(4)))
    after = await config(first.bus, jobs)
    assert (after["max_bytes"], after["metadata"]["busfn-layout"]) == (1 << 20, "1")
    info = await first.bus.queues.api.call(f"CONSUMER.INFO.{jobs}.{reader.name}")
    assert info["config"]["ack_wait"] == 7_000_000_000
    assert info["config"]["filter_subject"] == reader.subject
    assert (info["num_pending"], info["num_ack_pending"]) == (3, 2)
    await first.bus.close()


async def test_the_streams_of_a_newer_busfn_are_left_alone(connected, address, name):
    bus = await connected(address)
    newer = replace(streams(Subjects(name))[0], layout=99)
    await bus.queues.ensure_stream(newer)
    with pytest.raises(VersionError, match="layout 99"):
        await open_context(address, env=name, key=None)
    assert (await config(bus, newer.name))["metadata"]["busfn-layout"] == "99"
