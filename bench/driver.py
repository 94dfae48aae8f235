"""The run: rounds of rows, subjects in turns within each row, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.catalog import Row, params_of
from bench.facts import gather
from bench.process import SubjectProcess, interpreter
from bench.redis import Redis, find_redis
from bench.results import US, Failure, Results, Sample
from bench.subjects import BUSFN, Contender, groups
from busfn.bus.server import EmbeddedServer

Say = Callable[[str], None]

OF_A_USER = ("BUSFN_", "NATS_", "PYTHONDONTWRITEBYTECODE")
"""Settings that would lead busfn to somebody's bus, or have each process compile what is compiled once installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    rows: Sequence[Row]
    peers: Sequence[Contender]
    rounds: int
    quick: bool


@dataclass(slots=True)
class Findings:
    """What has been found so far."""

    samples: list[Sample] = field(default_factory=list[Sample])
    failures: list[Failure] = field(default_factory=list[Failure])

    def note(self, subject: str, row: str, answer: dict[str, Any]) -> None:
        """Take in the answer of a subject's process."""
        if "error" in answer:
            self.failures.append(Failure(subject, row, answer["error"]))
        for metric, value in answer.get("metrics", {}).items():
            self.samples.append(Sample(row, metric, subject, value))


def run(plan: Plan, say: Say) -> Results:
    """Measure everything; what cannot be measured is told, never guessed. Ctrl-C ends it with what there is by then."""
    findings = Findings()
    contenders = [BUSFN, *_installed(plan.peers, findings)]
    try:
        with _environment(contenders) as environ:
            for number in range(plan.rounds):
                for group in groups(contenders):
                    say(f"round {number + 1} of {plan.rounds}: {', '.join(one.name for one in group)}")
                    _round(_Round(plan, number, environ, findings, say), group)
    except KeyboardInterrupt:
        say("interrupted: this is what there is")
    return Results(plan.rows, [one.name for one in contenders], findings.samples, findings.failures, gather(contenders))


@dataclass(frozen=True, slots=True)
class _Round:
    plan: Plan
    number: int
    environ: dict[str, str]
    findings: Findings
    say: Say


def _round(this: _Round, group: list[Contender]) -> None:
    with ExitStack() as stack:
        running = [stack.enter_context(SubjectProcess(one, this.environ)) for one in group]
        for process in running:
            this.findings.note(process.contender.name, "up", process.first_result)
        for row in this.plan.rows:
            if row.name != "up" and not (row.once and this.number):
                this.say(f"  {row.name}")
                for process in _turns(running, this.number):
                    _measure(this.plan, row, process, this.findings)


def _turns(running: list[SubjectProcess], number: int) -> list[SubjectProcess]:
    """Who begins changes from round to round."""
    at = number % len(running)
    return running[at:] + running[:at]


def _measure(plan: Plan, row: Row, process: SubjectProcess, findings: Findings) -> None:
    contender = process.contender
    if row.ours and contender.name != US:
        return
    params = params_of(row, quick=plan.quick, framework=contender.framework)
    findings.note(contender.name, row.name, process.run(row.name, params))


def _installed(peers: Sequence[Contender], findings: Findings) -> Iterator[Contender]:
    for peer in peers:
        if not interpreter(peer).exists():
            findings.failures.append(Failure(peer.name, "", "not installed: python -m bench --install"))
        elif peer.redis and find_redis() is None:
            findings.failures.append(Failure(peer.name, "", "not installed: redis-server"))
        else:
            yield peer


@contextmanager
def _environment(contenders: Sequence[Contender]) -> Generator[dict[str, str]]:
    """The environment of all subjects, with the servers that peers need."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(OF_A_USER)}
    with ExitStack() as stack:
        server = EmbeddedServer.launch(jetstream=False)
        stack.callback(server.stop)
        server.wait_ready()
        environ["BENCH_NATS_URL"] = server.address.servers[0].replace("nats://", f"nats://{server.address.token}@")
        if any(one.redis for one in contenders):
            environ["BENCH_REDIS_URL"] = stack.enter_context(Redis()).url
        yield environ
