"""Calls that wait for their time while the server or the only host dies, served without a controller."""

from __future__ import annotations

import time

from sites import Site, named, until

from busfn.binding import DEFAULT

LATE = 5.0
"""Seconds for reconnecting after the server was killed, on a busy machine."""


def delayed_in_queue() -> int:
    """Calls that are put off."""
    link = DEFAULT.require("a test").link
    return len(link.portal.run(link.bus.queues.subjects(link.subjects.stream("DELAYED"), "busfn.main.delayed.>")))


def test_delayed_calls_outlast_the_server_and_run_on_time(site: Site, path: str) -> None:
    site.serve("stamped", 1)
    asked = time.time()
    calls = [named("stamped").with_options(delay=delay).spawn(path) for delay in (6.0, 6.0, 7.0)]
    assert delayed_in_queue() == 3
    site.kill_server()
    site.restart_server()
    for call, delay in zip(calls, (6.0, 6.0, 7.0), strict=True):
        assert asked + delay <= call.get(timeout=60) < asked + delay + LATE
    assert delayed_in_queue() == 0


def test_what_came_due_while_nobody_served_it_runs_with_the_next_host(site: Site, path: str) -> None:
    site.serve("stamped", 1)
    asked = time.time()
    call = named("stamped").with_options(delay=3.0).spawn(path)
    site.dismiss()
    until(lambda: time.time() > asked + 3.0)
    assert delayed_in_queue() == 1
    begun = time.time()
    site.serve("stamped", 1)
    assert begun < call.get(timeout=60)
