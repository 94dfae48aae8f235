"""A durable call waits for a function whose workers cannot start; nothing accepted is lost."""

from __future__ import annotations

from pathlib import Path

import durable
import pytest

from busfn import errors


def test_a_spawned_call_outlives_workers_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mended"
    for name in ("BUSFN_URL", "NATS_URL", "NATS_CONTEXT", "BUSFN_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DURABLE_MARK", str(mark))
    with durable.app.run():
        with pytest.raises(errors.ServiceError, match="not mended yet"):
            durable.mended.remote(1)
        call = durable.mended.spawn(2)
        with pytest.raises(TimeoutError):
            call.get(timeout=1.5)
        mark.touch()
        assert call.get(timeout=60) == 2
