"""The command line: ``python -m bench.scaling [--start-time SECONDS] [--max WORKERS]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.scaling import traces
from bench.scaling.model import START, Autoscaler, simulate
from bench.scaling.ours import Busfn
from bench.scaling.peers import Keda, Knative
from bench.scaling.report import Result, legend, table
from busfn.spec import Scaling

MOST = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate everything and print the table."""
    options = _parser().parse_args(arguments)
    catalog = traces.catalog()
    results = [
        Result(trace, autoscaler.name, simulate(trace, autoscaler, options.start_time))
        for trace in catalog
        for autoscaler in autoscalers(options.max)
    ]
    print(f"{legend(catalog)}\n\n{table(results)}")
    return 0


def autoscalers(most: int) -> tuple[Autoscaler, ...]:
    """Fresh ones: they remember."""
    return Busfn(Scaling(max_containers=most)), Keda(5, most), Keda(30, most), Knative(most)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description="autoscalers, simulated")
    parser.add_argument("--start-time", type=float, default=START, help="seconds a worker takes to start (%(default)s)")
    parser.add_argument("--max", type=int, default=MOST, help="workers at most (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
