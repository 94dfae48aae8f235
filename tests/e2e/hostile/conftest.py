"""A stack of its own for each test of strangers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import Stack

from busfn.binding import DEFAULT


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in list(os.environ):
        if name.startswith(("BUSFN_", "NATS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Stack(tmp_path)
    monkeypatch.setenv("BUSFN_URL", made.url)
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "k" * 40)
    made.start()
    yield made
    client, DEFAULT.client = DEFAULT.client, None
    if client is not None:
        client.close()
    made.stop()
