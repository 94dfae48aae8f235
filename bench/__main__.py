"""The command line: ``python -m bench [--quick] [--rows a,b] [--peers x,y] [--json FILE] [--plots DIR]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import catalog, subjects
from bench.driver import Plan, run
from bench.install import install
from bench.results import Results, markdown, table, to_json

ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, write what was asked for."""
    options = _parser().parse_args(arguments)
    try:
        plan = Plan(
            rows=catalog.choose(_names(options.rows), quick=options.quick),
            peers=subjects.choose(_names(options.peers), quick=options.quick),
            rounds=options.rounds,
            quick=options.quick,
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options.install:
        return install(plan.peers)
    results = run(plan, lambda text: print(text, file=sys.stderr, flush=True))
    print(table(results))
    _write(results, options)
    return 0


def _write(results: Results, options: argparse.Namespace) -> None:
    if options.json:
        _into(options.json, json.dumps(to_json(results), indent=1) + "\n")
    if options.markdown:
        _into(options.markdown, markdown(results) + "\n")
    if options.plots:
        from bench.plots import draw  # needs matplotlib, which only this option does

        draw(results, Path(options.plots))


def _into(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="busfn and its peers, measured in one run")
    parser.add_argument("--quick", action="store_true", help="about two minutes: small sizes, bare NATS and a pool")
    parser.add_argument("--rows", default="", metavar="A,B", help="only these rows")
    parser.add_argument("--peers", default="", metavar="X,Y", help="only these peers; `none` for busfn alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--json", default="", metavar="FILE", help="write everything as JSON")
    parser.add_argument("--markdown", default="", metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--plots", default="", metavar="DIR", help="draw one PNG a row (pip install -e '.[bench]')")
    parser.add_argument("--install", action="store_true", help="install the peers into bench/.venvs, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
