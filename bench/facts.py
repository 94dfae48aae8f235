"""What a reader must know of the machine and the software; no names of machines or folders."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.process import interpreter
from bench.subjects import Contender
from busfn.bus.server import find_server

_VERSIONS = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"


def gather(contenders: Sequence[Contender]) -> dict[str, Any]:
    """Cores, memory, Python, servers and packages."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "nats-server": _output([find_server(), "--version"]).removeprefix("nats-server: "),
        "packages": {one.name: _versions(one) for one in contenders if one.packages},
    }


def _versions(contender: Contender) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        _output([str(interpreter(contender)), "-c", _VERSIONS, *contender.packages]) or "{}"
    )
    return found


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
