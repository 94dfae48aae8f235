from __future__ import annotations

from dataclasses import replace

import pytest

from busfn.deployment import AppState, Deployment
from busfn.errors import AuthError, DeserializationError
from busfn.protocol.codecs import BlobRef
from busfn.protocol.names import pinned, unpin
from busfn.spec import FunctionSpec, Retries, Scaling

SPEC = FunctionSpec(
    app="shop", name="f", source={"kind": "script", "target": "a.py", "directory": "."}, qualname="f",
    retries=Retries(max_retries=2), scaling=Scaling(min_containers=1), env={"A": "b"},
)  # fmt: skip
MADE = Deployment(
    app="shop", version=3, functions=(SPEC,), bundle=BlobRef(name="n", size=5, chunks=1, sha256="a" * 64),
    deployed_at=12.5, strategy="recreate", tag="t", commit="abc*", by="me", rollback_of=1,
)  # fmt: skip


def test_a_deployment_is_read_as_it_was_written():
    stored = MADE.encode(b"key")
    assert Deployment.verify(stored, b"key") == MADE
    assert Deployment.decode(stored) == MADE
    assert MADE.function("f") is SPEC
    assert MADE.function("g") is None


def test_what_was_signed_with_another_key_or_changed_is_not_run():
    stored = MADE.encode(b"key")
    with pytest.raises(AuthError, match="another key"):
        Deployment.verify(stored, b"other")
    with pytest.raises(AuthError):
        Deployment.verify(stored.replace(b"a.py", b"b.py"), b"key")
    with pytest.raises(AuthError):
        Deployment.verify(replace(MADE, tag="u").encode(b"stranger"), b"key")


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b'{"deployment": 1}', b"\xff"])
def test_what_is_no_deployment_is_refused(stored):
    with pytest.raises(DeserializationError):
        Deployment.decode(stored)


def test_the_state_of_an_app_is_read_as_it_was_written():
    state = AppState(version=2, stopped=True, changed_at=1.5)
    assert AppState.decode(state.encode()) == state


def test_pinned_names():
    assert pinned("shop", 3) == "shop@3"
    assert unpin("shop@3") == ("shop", 3)
    assert unpin("shop") == ("shop", 0)
    assert unpin("shop@x") == ("shop", 0)
