"""Installing the peers, each into an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence

from bench.process import VENVS, interpreter
from bench.subjects import Contender


def install(peers: Sequence[Contender]) -> int:
    """Install those that are missing; returns 1 when one could not be installed, with pip's words on stderr."""
    failed = [peer.name for peer in peers if peer.venv and not (interpreter(peer).exists() or _install(peer))]
    if failed:
        print(f"could not be installed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _install(peer: Contender) -> bool:
    venv.create(VENVS / peer.venv, with_pip=True)
    command = [str(interpreter(peer)), "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.requirements]
    done = subprocess.run(command, check=False)
    if done.returncode:
        interpreter(peer).unlink()  # so that it counts as not installed
    return done.returncode == 0
