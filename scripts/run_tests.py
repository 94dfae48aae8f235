#!/usr/bin/env python3
"""Run the tests in two processes side by side: they wait more than they compute. Options are passed on to pytest.

The first one's output is shown as it comes, the other's when it has ended. The exit code is 0 when both passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

LANES = (("tests/e2e",), ("tests", "--ignore=tests/e2e"))
"""What each process runs: together all there is, and both take about as long."""


def start(lane: Sequence[str], options: Sequence[str], output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *lane, *options]
    return subprocess.Popen(command, stdout=output, stderr=output)


def main(options: Sequence[str]) -> int:
    with tempfile.TemporaryFile() as held:
        processes = [start(lane, options, held if number else None) for number, lane in enumerate(LANES)]
        try:
            codes = [process.wait() for process in processes]
        except KeyboardInterrupt:  # the terminal told them, too
            codes = [process.wait() for process in processes]
        held.seek(0)
        sys.stdout.write(held.read().decode(errors="replace"))
    return max(map(abs, codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
