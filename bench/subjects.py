"""Which subjects there are, and how each is run: as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A subject as the driver sees it."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    venv: str = ""
    """Folder under ``bench/.venvs``; empty for the interpreter that runs the bench."""
    requirements: tuple[str, ...] = ()
    """What is installed there."""
    packages: tuple[str, ...] = ()
    """Whose versions are reported."""
    framework: bool = False
    """Runs alone, with smaller sizes: it is slower, and busy when idle."""
    redis: bool = False
    setup: str = ""
    """How it is configured, and why."""


BUSFN = Contender(
    name="busfn", module="bench.ours", packages=("busfn", "nats-py", "uvloop"), setup="`with app.run():`, no options"
)

PEERS: tuple[Contender, ...] = (
    Contender(
        name="nats",
        module="bench.peers.bare_nats",
        packages=("nats-py",),
        setup="nats-py on asyncio, two plain subscribers in one queue group; nobody stores, retries or watches",
    ),
    Contender(
        name="nats-uvloop",
        module="bench.peers.bare_nats",
        arguments=("--uvloop",),
        packages=("nats-py", "uvloop"),
        setup="the same with uvloop on both sides",
    ),
    Contender(
        name="pool",
        module="bench.peers.process_pool",
        setup="concurrent.futures.ProcessPoolExecutor(2); `map` in chunks is `chunksize=64`",
    ),
    Contender(
        name="grpc",
        module="bench.peers.grpc_python",
        venv="grpc",
        requirements=("grpcio>=1.66",),
        packages=("grpcio",),
        setup="two asyncio servers, no broker; bytes as messages (no protobuf); a blocking client for single calls and"
        " streams, with SingleThreadedUnaryStream, and grpc.aio for calls in flight",
    ),
    Contender(
        name="ray",
        module="bench.peers.ray_actors",
        venv="ray",
        requirements=("ray>=2.40",),
        packages=("ray",),
        framework=True,
        setup="two actors (direct calls, no scheduling per task), no dashboard, no logs to the driver; chunks of 64 by"
        " hand, tasks for bodies",
    ),
    Contender(
        name="dask",
        module="bench.peers.dask_distributed",
        venv="dask",
        requirements=("distributed>=2024.12",),
        packages=("dask", "distributed"),
        framework=True,
        setup="LocalCluster of two processes of one thread, no dashboard, no compression; chunks of 64 by hand",
    ),
    Contender(
        name="celery",
        module="bench.peers.celery_redis",
        venv="celery",
        requirements=("celery[redis]>=5.4", "hiredis"),
        packages=("celery", "redis", "hiredis"),
        framework=True,
        redis=True,
        setup="prefork, two processes, worker_prefetch_multiplier=64, no gossip, mingle, heartbeat or events, one"
        " producer for many sends, results in Redis; chunks by `task.chunks(..., 64)`",
    ),
    Contender(
        name="dramatiq",
        module="bench.peers.dramatiq_redis",
        venv="dramatiq",
        requirements=("dramatiq[redis]>=1.17", "hiredis"),
        packages=("dramatiq", "redis", "hiredis"),
        framework=True,
        redis=True,
        setup="two processes of one thread, prefetch of 128 (1 for bodies), minimal middleware, results in Redis",
    ),
    Contender(
        name="faststream",
        module="bench.peers.faststream_nats",
        venv="faststream",
        requirements=("faststream[nats]>=0.5", "uvloop"),
        packages=("faststream", "nats-py", "uvloop"),
        framework=True,
        setup="NATS request and reply, two processes in a queue group, uvloop on both sides, no logger; the default of"
        " one message at a time was faster than max_workers=64",
    ),
)

QUICK = frozenset(("nats", "nats-uvloop", "pool"))
"""Peers of a quick run: they need nothing that busfn does not bring."""


def choose(names: frozenset[str], *, quick: bool) -> list[Contender]:
    """The peers of a run. Raises `ValueError` for an unknown name."""
    known = {peer.name for peer in PEERS}
    if unknown := names - known - {"none"}:
        raise ValueError(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}, or none")
    return [peer for peer in PEERS if (peer.name in names if names else not quick or peer.name in QUICK)]


def groups(contenders: list[Contender]) -> list[list[Contender]]:
    """Those that are measured in turns, row by row; then each framework, alone."""
    together = [one for one in contenders if not one.framework]
    return [together, *([one] for one in contenders if one.framework)]
