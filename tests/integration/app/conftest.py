"""The app `calls`, run once for all tests of this directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import calls
import pytest

from busfn import Function


@pytest.fixture(scope="session", autouse=True)
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs the app on a server of its own, whatever the machine is configured for."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("BUSFN_URL", "NATS_URL", "NATS_CONTEXT", "BUSFN_ENV", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            patch.delenv(name, raising=False)
        with calls.app.run():
            yield


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where bodies and tests leave marks for one another."""
    return str(tmp_path)


@pytest.fixture
def square() -> Function[[int], int, int]:
    return calls.square


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.01)

    return wait
