"""Who serves a name: the rule as a table, and the claims that keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast, get_args

import pytest

from busfn.bus.base import ConsumerSpec, StreamSpec
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.claims import (
    ABANDONED_AFTER,
    RULE,
    Claim,
    Claims,
    Place,
    Situation,
    Use,
    is_claimed,
    place_of,
    refusal,
    while_deploying,
)
from busfn.deployment import AppState
from busfn.errors import ConflictError, NotFoundError
from busfn.protocol.names import is_run_token, unpin, validate_token
from busfn.protocol.subjects import Subjects
from busfn.registry import Registry
from busfn_services.controller.abandoned import AbandonedRuns

pytestmark = pytest.mark.anyio

SUBJECTS = Subjects()
OPERATE = Path(__file__).parents[2] / "docs" / "operate.md"
WORDS = {"its name": Place.NAME, "beside it": Place.ASIDE, "refused": Place.REFUSED}


def test_the_rule_covers_every_use_and_situation_and_is_what_the_documentation_shows():
    rows = [line.split("|")[1:-1] for line in OPERATE.read_text().splitlines() if line.startswith("| `")]
    shown = {
        row[0].split("`")[1].removeprefix("busfn ").split()[0]: [cell.strip() for cell in row[1:]]
        for row in rows
        if "busfn" in row[0]
    }
    columns = ("free", "deployed", "run", "serve", "worker")
    for use in get_args(Use):
        assert {*RULE[use]} == {*get_args(Situation)}
        assert [WORDS[word.removesuffix(", unless `--join`")] for word in shown[use]] == [
            place_of(use, column) for column in cast("tuple[Situation, ...]", columns)
        ]


@pytest.mark.parametrize("situation", get_args(Situation))
def test_a_run_is_never_refused_and_shares_no_name(situation: Situation):
    assert place_of("run", situation) is (Place.NAME if situation == "free" else Place.ASIDE)


@pytest.mark.parametrize("situation", get_args(Situation))
def test_workers_that_join_are_never_refused(situation: Situation):
    assert place_of("worker", situation, join=True) is Place.NAME


@pytest.fixture
async def bus(anyio_backend: object) -> AsyncIterator[MemoryBus]:
    async with MemoryBus(MemoryBroker()) as bus:
        yield bus


@pytest.fixture
def claims(bus: MemoryBus) -> Claims:
    return Claims(Registry(bus, SUBJECTS), bus.table(SUBJECTS.table))


async def deploy(bus: MemoryBus, *, stopped: bool = False) -> None:
    state = AppState(version=3, changed_at=0.0, stopped=stopped)
    await bus.table(SUBJECTS.table).put("app.shop", state.encode())


async def test_a_free_name_is_had_by_one_and_free_again_afterwards(claims: Claims):
    first = await claims.take("shop", "run")
    assert first.token == "shop"
    second = await claims.take("shop", "run")
    assert is_run_token(validate_token(second.token))
    assert unpin(second.token) == ("shop", 0)
    assert {token: claim.use for token, claim in (await claims.all()).items()} == {"shop": "run", second.token: "run"}
    with pytest.raises(ConflictError, match=r"'shop' is being run on this bus already, by `busfn run` \(.*process"):
        await claims.take("shop", "serve")
    await claims.give_back(second)
    await claims.give_back(first)
    assert await claims.all() == {}
    assert (await claims.take("shop", "serve")).token == "shop"


async def test_a_run_of_a_deployed_app_is_an_app_of_its_own(claims: Claims, bus: MemoryBus):
    await deploy(bus)
    assert is_run_token((await claims.take("shop", "run")).token)
    with pytest.raises(ConflictError, match=r"deployed on this bus \(version 3\)"):
        await claims.take("shop", "serve")
    with pytest.raises(ConflictError, match=r"deployed on this bus \(version 3\).*`--join`"):
        await claims.take("shop", "worker")
    await deploy(bus, stopped=True)
    assert (await claims.take("shop", "run")).token == "shop"


async def test_workers_share_a_name_until_the_last_one_leaves(claims: Claims, bus: MemoryBus):
    first, second = await claims.take("shop", "worker"), await claims.take("shop", "worker")
    assert (first.token, second.token) == ("shop", "shop")
    assert await claims.renew(first)
    assert not await is_claimed(bus.table(SUBJECTS.table), "shop"), "they tidy up nothing"
    await claims.give_back(first)
    with pytest.raises(ConflictError, match="served on this bus already, by `busfn worker`"):
        async with while_deploying(claims, "shop"):
            raise AssertionError
    await claims.give_back(second)
    async with while_deploying(claims, "shop"):
        assert is_run_token((await claims.take("shop", "run")).token), "nobody takes it while it is deployed"


async def test_a_name_that_was_lost_meanwhile_is_not_taken_back(claims: Claims, bus: MemoryBus):
    mine = await claims.take("shop", "run")
    await bus.table(SUBJECTS.table).delete("run.shop")
    assert await claims.renew(mine), "it ran out, and nobody came"
    await bus.table(SUBJECTS.table).put("run.shop", Claim("serve", ("other",)).encode())
    assert not await claims.renew(mine)
    await claims.give_back(mine)
    assert (await claims.all())["shop"].use == "serve"


@pytest.mark.parametrize("stored", [b"0123abcd", b"{}", b"\xff", b"[1]", b'{"use": "what", "owners": 1}'])
async def test_a_claim_that_cannot_be_read_counts_as_a_run(claims: Claims, bus: MemoryBus, stored: bytes):
    await bus.table(SUBJECTS.table).put("run.shop", stored)
    assert is_run_token((await claims.take("shop", "run")).token)
    assert (await claims.all())["shop"].use == "run"
    assert "is being run" in refusal("shop", "serve", "run", Claim.decode(stored), 0)


async def test_what_a_vanished_run_left_is_removed_after_a_day(claims: Claims, bus: MemoryBus):
    registry = Registry(bus, SUBJECTS)
    await deploy(bus)
    held = await claims.take("shop", "run")
    held.functions = ["f"]
    await claims.renew(held)
    stream, subject = SUBJECTS.stream("JOBS"), SUBJECTS.job(held.token, "f", "c1")
    for kind in ("JOBS", "OVF"):
        await bus.queues.ensure_stream(
            StreamSpec(name=SUBJECTS.stream(kind), subjects=(SUBJECTS.all_of(kind.lower()[:3]),))
        )
    delayed = SUBJECTS.stream("DELAYED")
    await bus.queues.ensure_stream(StreamSpec(name=delayed, subjects=(SUBJECTS.all_of("delayed"),)))
    for name in ("f", "g"):
        await bus.queues.enqueue(SUBJECTS.delayed(held.token, name, "c1", 10), b"")
    consumer = ConsumerSpec(
        stream=stream, name=SUBJECTS.consumer(held.token, "f"), subject=SUBJECTS.jobs(held.token, "f")
    )
    await bus.queues.ensure_consumer(consumer)
    await bus.queues.enqueue(subject, b"")
    now = held.claim.since
    await AbandonedRuns(bus, SUBJECTS, registry).tidy(now)
    assert (await bus.queues.lag(stream, consumer.name)).pending == 1
    await AbandonedRuns(bus, SUBJECTS, registry).tidy(now + ABANDONED_AFTER + 60)
    with pytest.raises(NotFoundError):
        await bus.queues.lag(stream, consumer.name)
    assert await bus.queues.subjects(delayed, ">") == [SUBJECTS.delayed(held.token, "g", "c1", 10)]
    assert await claims.all() == {}
