"""The examples do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BUSFN = str(Path(sys.executable).parent / "busfn")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BUSFN_", "NATS_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path)}


def run(env: dict[str, str], *args: str) -> str:
    done = subprocess.run([BUSFN, "run", *args], env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == ""
    return done.stdout


def test_hello(env: dict[str, str]) -> None:
    assert run(env, str(EXAMPLES / "hello.py"), "--n", "4", "--name", "bus") == "hello bus 16 [0, 1, 4, 9]\n"


def test_wordcount_counts_identifiers_of_the_standard_library(env: dict[str, str]) -> None:
    lines = run(env, str(EXAMPLES / "wordcount.py"), "--limit", "40", "--top", "3").splitlines()
    assert lines[0].startswith("40 files, ")
    assert len(lines) == 4
    assert lines[1].split()[1] in ("self", "def")


def test_stream(env: dict[str, str]) -> None:
    lines = run(env, str(EXAMPLES / "stream.py"), "--below", "1000", "--show", "3").splitlines()
    assert lines == ["2", "3", "5", "168 primes below 1000"]


def test_service_is_called_by_a_bare_nats_client(env: dict[str, str]) -> None:
    service = str(EXAMPLES / "service.py")
    with subprocess.Popen([BUSFN, "worker", service], env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            ready, url = server.stdout.readline().split()
            assert ready == "ready"
            done = subprocess.run(
                [sys.executable, service, url], capture_output=True, text=True, timeout=60, check=True
            )
        finally:
            server.terminate()
    total, error = done.stdout.splitlines()
    assert total == "total: 13.5"
    assert "price" in error
