"""The rows as data: what they are called, their metrics, and their sizes in a full and in a quick run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["less", "more", "neither"]
Params = Mapping[str, float]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a row."""

    key: str
    unit: str
    better: Better


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that is measured."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    full: Params
    quick: Params
    framework: Params = field(default_factory=dict[str, float])
    """Overrides for frameworks that would take minutes; rates do not depend on them."""
    ours: bool = False
    """No peer has it."""
    once: bool = False
    """Measured in the first round only: too long to repeat."""
    target: str = ""
    series: str = ""
    """Rows of one series measure the same at several sizes, and share a picture."""
    size: int = 0


def rate(key: str, unit: str) -> Metric:
    return Metric(key, f"{unit}/s", "more")


def less(key: str, unit: str) -> Metric:
    return Metric(key, unit, "less")


def body_row(milliseconds: int, quick: int, target: str = "") -> Row:
    """A map of bodies that sleep so long."""
    return Row(
        name=f"body-{milliseconds}ms",
        title=f"map of {milliseconds} ms bodies, two workers",
        metrics=(Metric("of-ideal", "%", "more"),),
        full={"inputs": 2_000, "seconds": milliseconds / 1000},
        quick={"inputs": quick, "seconds": milliseconds / 1000},
        framework={"inputs": 200 if milliseconds < 100 else 20},
        target=target,
        once=milliseconds >= 100,
    )


def functions_row(count: int) -> Row:
    """Calls while so many functions are served."""
    return Row(
        name=f"functions-{count}",
        series="functions",
        size=count,
        title=f"{count} functions served, calls spread over up to eight of them",
        metrics=(rate("calls", "call"), less("start", "s"), less("host-rss", "MiB")),
        full={"functions": count, "calls": 5_000, "width": 64},
        quick={"functions": count, "calls": 2_000, "width": 64},
        ours=True,
        once=True,
    )


def backlog_row(count: int) -> Row:
    """A queue of so many inputs: how fast it takes more, and how fast it is emptied."""
    return Row(
        name=f"backlog-{count}",
        series="backlog",
        size=count,
        title=f"backlog of {count} no-ops",
        metrics=(
            rate("accept", "input"),
            rate("drain", "input"),
            less("caller-rss", "MiB"),
            less("host-rss", "MiB"),
            less("workers-rss", "MiB"),
            less("server-rss", "MiB"),
        ),
        full={"inputs": count, "more": 200_000},
        quick={"inputs": count, "more": 10_000},
        ours=True,
        once=count > 100_000,
    )


ROWS: tuple[Row, ...] = (
    Row(
        name="up",
        title="from nothing to the first result: server, workers, one call",
        metrics=(less("first-result", "s"),),
        full={},
        quick={},
    ),
    Row(
        name="warm",
        title="warm call of a no-op, one at a time",
        metrics=(less("p50", "ms"), less("p99", "ms")),
        full={"calls": 2_000},
        quick={"calls": 1_000},
        framework={"calls": 200},
        target="p50 <= 1.5x nats",
    ),
    Row(
        name="in-flight",
        title="64 calls in flight, two workers",
        metrics=(rate("tasks", "call"), rate("threads", "call")),
        full={"calls": 10_000, "width": 64},
        quick={"calls": 10_000, "width": 64},
        framework={"calls": 640},
        target="tasks >= 0.6x nats",
    ),
    Row(
        name="map",
        title="map of no-ops, results in order",
        metrics=(rate("chunked", "input"), rate("single", "input")),
        full={"inputs": 100_000, "singles": 10_000},
        quick={"inputs": 100_000, "singles": 10_000},
        framework={"inputs": 10_000, "singles": 600},
        target="chunked >= 0.45x pool, single >= 0.9x pool",
    ),
    body_row(1, 1_000),
    body_row(10, 200),
    body_row(100, 30),
    Row(
        name="mix",
        title="map of 1 ms bodies with a few of 1 s among them",
        metrics=(Metric("of-ideal", "%", "more"),),
        full={"inputs": 1_000, "long": 6},
        quick={"inputs": 400, "long": 2},
        framework={"inputs": 200, "long": 2},
    ),
    Row(
        name="spawn-map",
        title="durable calls with stored results",
        metrics=(rate("accept", "input"), rate("complete", "input")),
        full={"inputs": 20_000},
        quick={"inputs": 20_000},
        framework={"inputs": 600},
        target="accept >= 50 k/s, complete >= 10 k/s",
    ),
    Row(
        name="generator",
        title="items of a generator",
        metrics=(rate("items", "item"), less("first-item", "ms")),
        full={"items": 100_000},
        quick={"items": 50_000},
        framework={"items": 4_000},
        target="items >= 100 k/s",
    ),
    Row(
        name="payload-8MiB",
        title="8 MiB there and back",
        metrics=(less("round-trip", "ms"),),
        full={"bytes": 8 * MIB, "calls": 8},
        quick={"bytes": 8 * MIB, "calls": 4},
        target="<= 2x nats",
    ),
    Row(
        name="payload-100MiB",
        title="100 MiB there and back, once",
        metrics=(less("round-trip", "ms"), less("caller-peak", "MiB"), less("worker-peak", "MiB")),
        full={"bytes": 100 * MIB},
        quick={"bytes": 100 * MIB},
        ours=True,
        once=True,
    ),
    Row(
        name="zero",
        title="from zero workers to the result",
        metrics=(less("first-result", "ms"),),
        full={"times": 20},
        quick={"times": 5},
        ours=True,
        target="<= 150 ms",
    ),
    Row(
        name="run-hello",
        title="busfn run examples/hello.py, in all",
        metrics=(less("wall", "s"),),
        full={"times": 3},
        quick={"times": 1},
        ours=True,
        target="<= 0.8 s",
    ),
    Row(
        name="import",
        title="import busfn, over bare Python",
        metrics=(less("over-bare", "ms"),),
        full={"times": 10},
        quick={"times": 5},
        ours=True,
    ),
    Row(
        name="killed",
        title="kill -9 of a worker to the call running again",
        metrics=(less("re-run", "ms"),),
        full={"times": 5},
        quick={"times": 2},
        ours=True,
        target="<= 500 ms",
    ),
    Row(
        name="idle",
        title="100 idle functions",
        metrics=(less("host-cpu", "% of a core"), less("host-rss", "MiB")),
        full={"functions": 100, "seconds": 10},
        quick={"functions": 100, "seconds": 2},
        ours=True,
        once=True,
        target="< 1 % of a core",
    ),
    *(functions_row(count) for count in (1, 10, 100, 1_000)),
    *(backlog_row(count) for count in (1_000, 100_000, 1_000_000)),
)

NOT_QUICK = frozenset(("functions-1000", "backlog-1000000", "backlog-100000"))
"""Rows that a quick run leaves out."""


def params_of(row: Row, *, quick: bool, framework: bool) -> dict[str, float]:
    """The sizes with which a subject runs a row."""
    base = dict(row.quick if quick else row.full)
    if framework:
        base |= {key: min(value, base.get(key, value)) for key, value in row.framework.items()}
    return base


def choose(names: frozenset[str], *, quick: bool) -> list[Row]:
    """The rows of a run, in the catalog's order. Raises `ValueError` for an unknown name."""
    known = {row.name for row in ROWS}
    if unknown := names - known:
        raise ValueError(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    if names:
        return [row for row in ROWS if row.name in names]
    return [row for row in ROWS if not (quick and row.name in NOT_QUICK)]
