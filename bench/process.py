"""The outside of a subject's process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.subjects import Contender

ROOT = Path(__file__).parents[1]
VENVS = ROOT / "bench" / ".venvs"
LOGS = ROOT / "bench" / "results" / "logs"

PATIENCE = 300.0
"""Seconds a row may take."""


def interpreter(contender: Contender) -> Path:
    """The Python that runs it."""
    return VENVS / contender.venv / "bin" / "python" if contender.venv else Path(sys.executable)


class SubjectProcess:
    """A subject in a process group of its own. Owned by one ``with``."""

    def __init__(self, contender: Contender, environ: Mapping[str, str]) -> None:
        self.contender = contender
        self._environ = environ
        self.first_result: dict[str, Any] = {}

    def __enter__(self) -> Self:
        LOGS.mkdir(parents=True, exist_ok=True)
        command = [str(interpreter(self.contender)), "-m", self.contender.module, *self.contender.arguments]
        with (LOGS / f"{self.contender.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**self._environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        self.first_result = self._answer()
        return self

    def run(self, row: str, params: Mapping[str, float]) -> dict[str, Any]:
        """The answer of `bench.serving`: metrics, ``unsupported`` or an error."""
        if self._process.poll() is not None:
            return {"error": "its process has ended"}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"row": row, "params": dict(params)}).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._kill()
        with contextlib.suppress(ProcessLookupError):  # whatever it left behind in its group
            os.killpg(self._process.pid, signal.SIGKILL)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        if not readable:
            self._kill()
            return {"error": f"no answer within {PATIENCE:.0f} s"}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": f"it ended; see {self.contender.name}.log"}

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
