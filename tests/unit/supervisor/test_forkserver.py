"""Faults of one start stay with it."""

from __future__ import annotations

import subprocess
import sys

TOO_FEW = """
import json, os, resource, signal
from busfn.errors import ServiceError
from busfn_services.supervisor.forkserver import ForkServer

where = {where!r}
if where == "server":
    # As many as it has, so that it cannot take what is sent to it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4, 4096))
forks = ForkServer.launch()
before = os.listdir("/proc/self/fd")
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + 2 if where == "client" else 4096, hard))
config = {{"worker": "w1", "log_token": ""}}
try:
    ends = forks.fork(config)
except ServiceError as error:
    print("refused", error)
    assert os.listdir("/proc/self/fd") == before
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ends = forks.fork(config)
events = forks.socket.makefile("rb")
print(json.loads(events.readline()))
forks.close()
"""


def run(where: str) -> list[str]:
    script = TOO_FEW.format(where=where)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_too_few_descriptors_fail_that_start_only():
    refused, started = run("client")
    assert refused == "refused no worker can be started: Too many open files"
    assert "'event': 'started'" in started


def test_a_fork_server_without_descriptors_says_so_and_lives():
    [event] = run("server")
    assert "'event': 'exited'" in event
    assert "no process could be made: Too many open files" in event
