"""Three servers, three copies: one of them is killed while work is handed over and done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Event

import pytest
from clusters import Cluster
from leases import shorten_leases
from sites import APP, Service, in_background, named

from busfn.protocol.subjects import Subjects
from busfn.streams import streams


def test_the_leader_of_the_queue_is_killed_while_inputs_are_handed_over(
    cluster: Cluster, path: str, full: bool
) -> None:
    size = 10_000 if full else 2_000
    if not full:
        shorten_leases("durable", "noted", 5.0)
    service = Service(f"{APP}::noted", 2).wait_ready()
    try:
        jobs = Subjects("main").stream("JOBS")
        assert {cluster.replicas(spec.name) for spec in streams(Subjects("main"))} == {3}
        inputs = iter(range(size))
        killed: list[str] = []

        def numbers():
            for number in inputs:
                if number == size // 2:
                    killed.append(cluster.leader(jobs))
                    cluster.kill(killed[0])
                yield number

        call = named("noted").spawn_map([path] * size, numbers())
        assert killed
        results = list(call.iter())
        assert results == list(range(size))
        assert set(Counter(Path(path).read_text().split())) == {str(x) for x in range(size)}
        cluster.start(killed[0])
        assert named("noted").spawn(path, -1).get(timeout=60) == -1
    finally:
        service.stop()


@pytest.mark.parametrize("stream", ["RES", "JOBS"])
def test_a_leader_is_killed_while_results_are_stored_and_read(
    cluster: Cluster, path: str, full: bool, stream: str
) -> None:
    size = 1000 if full else 200
    if not full:
        shorten_leases("durable", "logged", 5.0)
    service = Service(f"{APP}::logged", 2).wait_ready()
    try:
        calls = [named("logged").spawn(path, x) for x in range(size)]

        def kill_leader(stop: Event) -> None:
            while len(Path(path).read_text().split() if Path(path).exists() else []) < size // 4:
                if stop.wait(0.01):
                    return
            cluster.kill(cluster.leader(Subjects("main").stream(stream)))

        end = in_background(kill_leader)
        try:
            assert [call.get(timeout=120) for call in calls] == list(range(size))
        finally:
            end()
    finally:
        service.stop()
