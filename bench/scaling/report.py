"""The table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.scaling.model import Outcome
from bench.scaling.traces import Trace
from bench.statistics import percentile

HEADINGS = (
    "trace", "autoscaler", "worker-s", "wait p50", "wait p99", "flaps", "most", "starts", "interrupted", "killed",
)  # fmt: skip
TEXTS = 2
"""Columns that are aligned to the left."""


@dataclass(frozen=True, slots=True)
class Result:
    """One autoscaler on one trace."""

    trace: Trace
    autoscaler: str
    outcome: Outcome


def table(results: Sequence[Result]) -> str:
    """Aligned, and Markdown too."""
    rows = [HEADINGS, *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rules = ["-" * width if index < TEXTS else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return "\n".join(_line(row, widths) for row in (rows[0], rules, *rows[1:]))


def legend(traces: Sequence[Trace]) -> str:
    """What each trace is."""
    return "\n".join(f"- {trace.name}: {trace.about}" for trace in traces)


def _row(result: Result) -> tuple[str, ...]:
    outcome = result.outcome
    return (
        result.trace.name, result.autoscaler, f"{outcome.worker_seconds:.0f}",
        _seconds(percentile(outcome.waits, 50)), _seconds(percentile(outcome.waits, 99)),
        str(outcome.flaps), str(outcome.most), str(outcome.starts), str(outcome.interrupted), str(outcome.killed),
    )  # fmt: skip


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = enumerate(zip(cells, widths, strict=True))
    return f"| {' | '.join(c.ljust(w) if i < TEXTS else c.rjust(w) for i, (c, w) in pairs)} |"


def _seconds(seconds: float) -> str:
    if seconds < 0.0005:
        return "0"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
