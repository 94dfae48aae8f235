"""Many inputs: they are taken out of the queue at once, and neither side grows while they are handed over and read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sites import Site, named

from busfn import errors
from busfn.binding import DEFAULT

CALLER = """
import asyncio, itertools, resource, threading, busfn
from busfn.binding import DEFAULT
f = busfn.Function.from_name("durable", "square")
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20
def left_over():
    client = DEFAULT.client
    async def tasks():
        return len(asyncio.all_tasks())
    return client.link.portal.run(tasks()), len(client.link.bus._session.interests()), len(client.link.bus._slots)
f.spawn(0).get()
tasks, interests, slots = left_over()
before, small = (tasks, interests + 1, slots), rss()  # what is said of a function's workers is listened for from now on
call = f.spawn_map(range({size}))
most = rss()
for number, result in enumerate(call.iter()):
    assert result == number * number
    if number % 1000 == 0:
        most = max(most, rss())
assert number == {size} - 1
deadline = 100
def grown():
    return any(now > then for now, then in zip(left_over(), before))
while grown() and deadline:
    threading.Event().wait(0.05)
    deadline -= 1
assert not grown(), (left_over(), before)
print(small, most)
"""


def rss(pid: int) -> int:
    """MiB that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) >> 10
    return 0


def children(pid: int) -> list[int]:
    """Workers, which are the supervisor's fork server's children."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    own = [int(each) for each in found.stdout.split()]
    return [*own, *(grandchild for child in own for grandchild in children(child))]


def test_many_results_are_read_in_order_in_little_memory(
    site: Site, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 100_000 if full else 5_000
    service = site.serve("square", 2)
    began = time.monotonic()
    caller = CALLER.replace("{size}", str(size))
    done = subprocess.run([sys.executable, "-c", caller], capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr
    small, most = map(int, done.stdout.split())
    workers = [rss(pid) for pid in (service.pid, *children(service.pid)) if Path(f"/proc/{pid}").exists()]
    assert most < 200
    assert most - small < 100
    assert len(workers) >= 3
    assert max(workers) < 200
    if full:
        with capsys.disabled():
            took = time.monotonic() - began
            print(f"\n{size} inputs: {took:.1f} s, caller {small} -> {most} MiB, host and workers {workers} MiB")


def test_a_queue_of_single_inputs_and_of_chunks_is_cancelled_in_one_go(
    site: Site, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 100_000 if full else 5_000
    site.serve("square", 1)
    site.dismiss()  # from here on nothing is taken out of the queue but by us
    call = named("square").spawn_map(range(size))
    link = DEFAULT.require("a test").link
    jobs, subject = link.subjects.stream("JOBS"), link.subjects.job("durable", "square", call.object_id.split(".")[-1])

    async def publish_alone() -> None:
        for _ in range(size // 500):
            await asyncio.gather(*(link.bus.queues.enqueue(subject, b"4") for _ in range(500)))

    link.portal.run(publish_alone())
    waiting = link.portal.run(link.bus.queues.lag(jobs, link.subjects.consumer("durable", "square"))).pending
    assert waiting >= size
    began = time.monotonic()
    call.cancel()
    took = time.monotonic() - began
    left = link.portal.run(link.bus.queues.lag(jobs, link.subjects.consumer("durable", "square"))).pending
    assert left == 0
    with pytest.raises(errors.RemoteError, match="cancelled"):
        call.get(index=size - 1)
    if full:
        with capsys.disabled():
            print(f"\n{waiting} messages were cancelled in {took:.3f} s")
