"""Counts the Python calls of one warm ``remote``, map input, spawned call and generator item, and prints the hops.

    python -m bench.path [--quiet]

What happens after the answer has left does not count: a hop in the worker counts up to the moment at which the caller
has read the answer. The smallest of several rounds is shown, for a ping or a report may fall into any of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from bench.path.app import app, items, same
from bench.path.recorder import Hop, Recorder

ROUNDS = 15
SETTLE = 0.3
"""Seconds for what follows an answer, before the next thing is recorded."""
MAP_INPUTS = 1000
READ = ("data_received", "buffer_updated")
"""Names of functions with which a caller's connection takes what has come."""


@dataclass(frozen=True)
class Passage:
    """One recorded call."""

    hops: Sequence[Hop]

    @property
    def files(self) -> int:
        return len({hop.file for hop in self.hops})


def record(work: Callable[[], object], begin: Callable[[], object], end: Callable[[], list[Hop]]) -> Passage:
    """The hops of ``work`` in this process and in the worker."""
    ours = Recorder()
    begin()
    time.sleep(SETTLE)
    began = time.monotonic()
    ours.start()
    work()
    hops = ours.stop()
    time.sleep(SETTLE)
    reads = [hop.moment for hop in hops if hop.function.rpartition(".")[2] in READ]
    answered = max(reads, default=hops[-1].moment)
    theirs = [hop for hop in end() if began <= hop.moment <= answered]
    return Passage(sorted([*hops, *theirs], key=lambda hop: hop.moment))


def in_worker(hops: object) -> list[Hop]:
    found = cast("list[tuple[float, str, str, str]]", hops)
    return [Hop(moment, f"worker {thread}", file, function) for moment, thread, file, function in found]


def of_remote(work: Callable[[], object]) -> Passage:
    return record(work, lambda: same.remote("start"), lambda: in_worker(same.remote("stop")))


def of_generator(work: Callable[[], object]) -> Passage:
    return record(work, lambda: list(items.remote_gen("start")), lambda: in_worker(list(items.remote_gen("stop"))[-1]))


PATHS: dict[str, tuple[Callable[[], Passage], int]] = {
    "remote": (lambda: of_remote(lambda: same.remote(1)), 1),
    "spawn and get": (lambda: of_remote(lambda: same.spawn(1).get()), 1),
    "map input": (lambda: of_remote(lambda: list(same.map(range(MAP_INPUTS)))), MAP_INPUTS),
    "generator item": (lambda: of_generator(lambda: list(items.remote_gen(1))), 2),
}
"""What is recorded, and among how many inputs or items the calls are divided."""


def show(passage: Passage) -> None:
    began = passage.hops[0].moment
    for hop in passage.hops:
        print(f"{(hop.moment - began) * 1e6:8.0f} us  {hop.thread:22} {hop.file}  {hop.function}")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.path")
    options.add_argument("--quiet", action="store_true", help="only the counts, not the hops of a remote call")
    quiet = options.parse_args().quiet
    with app.run():
        for _ in range(200):
            same.remote(1)
        list(items.remote_gen(1))
        for name, (make, parts) in PATHS.items():
            passages = sorted((make() for _ in range(ROUNDS)), key=lambda passage: len(passage.hops))
            if name == "remote" and not quiet:
                show(passages[0])
                for file, count in Counter(hop.file for hop in passages[0].hops).most_common():
                    print(f"{count:4} {file}")
            median = statistics.median(len(passage.hops) for passage in passages)
            print(
                f"{name}: {len(passages[0].hops) / parts:.1f} Python calls in {passages[0].files} files"
                f" (median {median / parts:.1f})"
            )


if __name__ == "__main__":
    main()
