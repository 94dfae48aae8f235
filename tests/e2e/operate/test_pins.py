"""Versions that somebody insists on are served while somebody does, and for as long as something of them is queued."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import busfn
from busfn import errors
from busfn.binding import DEFAULT
from busfn.operating import Operator
from busfn.registry import PIN_AGE, PINNED_FOR
from busfn.registry_rows import Pin

APP = """
    import busfn

    app = busfn.App("$APP")

    @app.function(scaledown_window=1.0)
    def f() -> str:
        return "%s"
"""

Script = Callable[..., str]
Eventually = Callable[[Callable[[], bool]], None]


def pins(app: str) -> list[Pin]:
    client = DEFAULT.require("a test")
    return [pin for pin in client.link.portal.run(Operator(client).registry.pins()) if pin.app == app]


def age(app: str, value: bytes) -> None:
    """Have version 1 pinned as of then, and the controllers look."""
    client = DEFAULT.require("a test")
    client.link.portal.run(client.link.bus.table(client.link.subjects.table).put(f"pin.{app}.1", value))
    client.link.bus.publish(client.link.subjects.registry)


def long_ago() -> bytes:
    return repr(time.time() - PINNED_FOR - 1).encode()


@pytest.fixture
def pinned(up, app: str, script: Script) -> busfn.Function:
    """Of version 1, while version 2 is the current one."""
    for version in ("one", "two"):
        up.busfn("deploy", script(APP % version))
    return busfn.Function.from_name(app, "f", version=1)


def test_what_is_called_is_served_without_a_word_before(pinned: busfn.Function, app: str) -> None:
    call = pinned.spawn()
    assert call.get(timeout=30) == "one"
    assert pinned.remote() == "one"
    assert busfn.Function.from_name(app, "f").remote() == "two"
    with pytest.raises(errors.NotFoundError, match="no version 9"):
        busfn.Function.from_name(app, "f", version=9).spawn()


def test_a_version_that_nobody_wants_any_more_is_served_no_more(
    pinned: busfn.Function, up, app: str, eventually: Eventually
) -> None:
    assert pinned.remote() == "one"
    eventually(lambda: up.workers(f"{app}@1") == [])

    def ended() -> bool:
        found = pins(app)
        if found and time.time() - found[0].wanted_at < PIN_AGE:  # its controller had not seen yet that it is idle
            age(app, long_ago())
        return not found

    eventually(ended)
    eventually(lambda: f"serving {app}@1 no more" in up.log)
    assert busfn.Function.from_name(app, "f").remote() == "two"
    DEFAULT.client, old = None, DEFAULT.client
    old.close()
    assert pinned.spawn().get(timeout=30) == "one"  # another client, which comes after a week


def test_a_version_is_served_while_something_of_it_is_queued(
    pinned: busfn.Function, up, app: str, eventually: Eventually
) -> None:
    call = pinned.with_options(delay=4.0).spawn()
    age(app, long_ago())
    eventually(lambda: time.time() - pins(app)[0].wanted_at < PIN_AGE)
    assert call.get(timeout=30) == "one"
    age(app, b"")  # as an older busfn has left it: its week begins now
    eventually(lambda: time.time() - pins(app)[0].wanted_at < PIN_AGE)
