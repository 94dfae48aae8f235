"""One picture a row, and one a series of rows."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import matplotlib

from bench.catalog import Row
from bench.results import US, Line, Results, lines, number

COLUMNS = 3
OURS, THEIRS = "#2f6f9f", "#b8bcc2"


def draw(results: Results, folder: Path) -> None:
    """Write ``<row>.png`` for every row that has numbers, and ``<series>.png`` for those that belong together."""
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    rows = {row.name: row for row in results.rows}
    series: dict[str, list[Line]] = {}
    for name, found in groupby(lines(results), key=lambda line: line.row):
        if rows[name].series:
            series.setdefault(rows[name].series, []).extend(found)
        else:
            _picture(rows[name], list(found), folder / f"{name}.png")
    for name, all_found in series.items():
        _growth(name, {row: rows[row].size for row in rows}, all_found, folder / f"{name}.png")


def _picture(row: Row, found: list[Line], path: Path) -> None:
    from matplotlib import pyplot

    metrics = [list(group) for _, group in groupby(found, key=lambda line: line.metric.key)]
    heights = [len(group) + 1.2 for group in metrics]
    figure, axes = pyplot.subplots(
        len(metrics), 1, figsize=(7, 0.28 * sum(heights) + 0.5), squeeze=False, height_ratios=heights
    )
    for axis, group in zip(axes[:, 0], metrics, strict=True):
        _bars(axis, group)
    figure.suptitle(row.title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _growth(name: str, sizes: dict[str, int], found: list[Line], path: Path) -> None:
    """A line a metric: how it changes with the size."""
    from matplotlib import pyplot

    metrics: dict[str, list[Line]] = {}
    for line in found:
        metrics.setdefault(line.metric.key, []).append(line)
    high = -(-len(metrics) // COLUMNS)
    figure, axes = pyplot.subplots(high, COLUMNS, figsize=(2.6 * COLUMNS, 2.2 * high), squeeze=False)
    for axis, group in zip(axes.flat, metrics.values(), strict=True):
        axis.plot([sizes[line.row] for line in group], [line.summary.median for line in group], "o-", color=OURS)
        axis.set_xscale("log")
        axis.set_ylim(0, 1.15 * max(line.summary.median for line in group))
        axis.set_title(f"{group[0].metric.key}, {group[0].metric.unit}", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel({"functions": "functions", "backlog": "inputs"}[name], fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(axis: matplotlib.axes.Axes, group: list[Line]) -> None:
    """A bar a subject, its length the median, with a line from the lowest to the highest round."""
    medians = [line.summary.median for line in group]
    errors = [
        [line.summary.median - line.summary.low for line in group],
        [line.summary.high - line.summary.median for line in group],
    ]
    colors = [OURS if line.subject == US else THEIRS for line in group]
    bars = axis.barh([line.subject for line in group], medians, xerr=errors, color=colors, ecolor="#555555")
    axis.bar_label(bars, [number(median) for median in medians], padding=4, fontsize=8)
    axis.invert_yaxis()
    if min(medians) > 0 and max(medians) / min(medians) > 30:
        axis.set_xscale("log")
    metric = group[0].metric
    better = {"less": ", less is better", "more": ", more is better", "neither": ""}[metric.better]
    axis.set_title(f"{metric.key}, {metric.unit}{better}", fontsize=9, loc="left")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.15)
