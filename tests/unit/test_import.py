"""What importing busfn costs those who only define functions."""

from __future__ import annotations

import subprocess
import sys

import pytest

DEFINE = """
import busfn
app = busfn.App("defined")
@app.function(timeout=10)
def double(x: int) -> int:
    return 2 * x
@app.local_entrypoint()
def main() -> None: ...
assert double.local(2) == 4
assert repr(busfn.Function.from_name("a", "f", version=2))
import sys
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("heavy", ["asyncio", "logging", "msgpack", "cloudpickle", "nats", "ssl", "busfn.client"])
def test_defining_functions_does_not_load_what_calls_need(heavy: str, loaded: list[str]) -> None:
    assert "busfn.function" in loaded
    assert heavy not in loaded


def test_nats_is_loaded_with_the_first_connection() -> None:
    code = "import busfn, sys; busfn.Function.from_name('a', 'f').remote; print('nats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    done = subprocess.run([sys.executable, "-c", DEFINE], capture_output=True, text=True, check=True)
    return done.stdout.split()
