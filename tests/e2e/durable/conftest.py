"""A server and hosts of the test's own; ``--full`` runs the sizes that are promised instead of small ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster
from sites import Site

from busfn.binding import DEFAULT


def _use(url: str, home: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HOME", str(home))
    patch.setenv("BUSFN_URL", url)
    for name in ("NATS_URL", "NATS_CONTEXT", "BUSFN_ENV", "BUSFN_REPLICAS"):
        patch.delenv(name, raising=False)


def _forget_client() -> None:
    client, DEFAULT.client = DEFAULT.client, None
    if client is not None:
        client.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """One server."""
    made = Site(tmp_path / "store")
    _use(made.url, tmp_path, monkeypatch)
    yield made
    _forget_client()
    made.close()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Three servers."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with Cluster(folder) as made:
        _use(made.url, tmp_path, monkeypatch)
        yield made
        _forget_client()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file for bodies to write to."""
    return str(tmp_path / "log")
