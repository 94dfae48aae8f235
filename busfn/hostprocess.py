"""Starting the process that serves an ephemeral app. Imports next to nothing, so it can be the first thing done."""

from __future__ import annotations

import os
import subprocess
import sys

HOST_MODULE = "busfn_services.host"


def launch_host(*, errors: int | None = None) -> subprocess.Popen[bytes]:
    """Start the host; it gets ready to be told what to serve, and leaves when its standard input ends.

    ``errors`` is where its stderr goes, as `subprocess` takes it; by default, to ours. A session of its own keeps
    Ctrl-C in the terminal from reaching the workers before we drain them.
    """
    return subprocess.Popen(
        [sys.executable, "-m", HOST_MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
