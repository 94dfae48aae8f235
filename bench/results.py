"""What a run found, as values, and how it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.catalog import Metric, Row
from bench.statistics import Summary, quotient, summarize

US = "busfn"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number from one round."""

    row: str
    metric: str
    subject: str
    value: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be measured; ``row`` is empty when the subject did not run at all."""

    subject: str
    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table."""

    row: str
    metric: Metric
    subject: str
    summary: Summary
    ratio: float | None
    """busfn's median over this one's; None for busfn itself."""


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    rows: Sequence[Row]
    subjects: Sequence[str]
    samples: Sequence[Sample]
    failures: Sequence[Failure] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def lines(results: Results) -> list[Line]:
    """Every metric of every subject that has it, in the order of rows and subjects."""
    gathered: dict[tuple[str, str, str], list[float]] = {}
    for sample in results.samples:
        gathered.setdefault((sample.row, sample.metric, sample.subject), []).append(sample.value)
    found: list[Line] = []
    for row in results.rows:
        for metric in row.metrics:
            ours = gathered.get((row.name, metric.key, US))
            for subject in results.subjects:
                if values := gathered.get((row.name, metric.key, subject)):
                    found.append(Line(row.name, metric, subject, summarize(values), _ratio(ours, values, subject)))
    return found


def table(results: Results) -> str:
    """An aligned table for a terminal."""
    header = ("row", "metric", "unit", "subject", "median", "min", "max", "busfn/it", "better")
    return "\n".join(_aligned([header, *_cells(lines(results))], right=range(4, 8)) + _failures(results.failures))


def markdown(results: Results) -> str:
    """The same for a page."""
    header = ("row", "metric", "subject", "median", "min", "max", "busfn/it")
    body = [(r, f"{m}, {u}", s, med, low, high, q) for r, m, u, s, med, low, high, q, _ in _cells(lines(results))]
    rule = ("---", "---", "---", "---:", "---:", "---:", "---:")
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *body))


def to_json(results: Results) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "facts": dict(results.facts),
        "rows": [{"name": row.name, "title": row.title, "target": row.target} for row in results.rows],
        "lines": [asdict(line) for line in lines(results)],
        "failures": [asdict(failure) for failure in results.failures],
    }


def number(value: float) -> str:
    """Three significant digits, thousands as k and M."""
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.3g} M"
    if size >= 9_995:
        return f"{value / 1e3:.3g} k"
    return f"{value:.0f}" if size >= 99.95 else f"{value:.3g}"


def _ratio(ours: Sequence[float] | None, values: Sequence[float], subject: str) -> float | None:
    if subject == US or not ours:
        return None
    return quotient(summarize(ours).median, summarize(values).median)


def _cells(found: Iterable[Line]) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = []
    before = ("", "")
    for line in found:
        here = (line.row, line.metric.key)
        numbers = (line.summary.median, line.summary.low, line.summary.high)
        cells.append(
            (
                line.row if here[0] != before[0] else "",
                line.metric.key if here != before else "",
                line.metric.unit if here != before else "",
                line.subject,
                *(number(value) for value in numbers),
                "" if line.ratio is None else f"{line.ratio:.2f}x" if line.ratio < 99.995 else f"{line.ratio:.0f}x",
                line.metric.better if here != before else "",
            )
        )
        before = here
    return cells


def _aligned(cells: Sequence[Sequence[str]], right: range) -> list[str]:
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _failures(failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    shown = dict.fromkeys(f"{one.subject}: {f'{one.row}: ' if one.row else ''}{one.reason}" for one in failures)
    return ["", "Not measured:", *(f"  {text}" for text in shown)]
