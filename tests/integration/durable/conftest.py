"""The app `durable`, run once on a server that the tests may look into."""

from __future__ import annotations

from collections.abc import Iterator

import durable
import pytest

from busfn.binding import DEFAULT
from busfn.bus.server import EmbeddedServer


@pytest.fixture(scope="session", autouse=True)
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    server = EmbeddedServer.launch().wait_ready()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("BUSFN_URL", server.address.servers[0].replace("://", f"://{server.address.token}@"))
        patch.setenv("BUSFN_SIGNING_KEY", "the tests' own")
        for name in ("NATS_URL", "NATS_CONTEXT", "BUSFN_ENV", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            patch.delenv(name, raising=False)
        with durable.app.run():
            yield
            client, DEFAULT.client = DEFAULT.client, None
            if client is not None:
                client.close()
    server.stop()


@pytest.fixture
def path(tmp_path) -> str:
    """A file for bodies to write to."""
    return str(tmp_path / "log")
