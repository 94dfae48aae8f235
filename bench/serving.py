"""The inside of a subject's process: JSON lines in (rows to run), JSON lines out (their metrics)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.rows import shared
from bench.subject import Subject, Unsupported

RowFunction = Callable[[Any, Mapping[str, float]], dict[str, float]]

SHARED: Mapping[str, RowFunction] = {
    "warm": shared.warm,
    "in-flight": shared.in_flight,
    "map": shared.map_noops,
    "body": shared.bodies,
    "mix": shared.mix,
    "spawn-map": shared.spawn_map,
    "generator": shared.generator,
    "payload": shared.payload,
}


def serve(subject: Subject, extra: Mapping[str, RowFunction] | None = None) -> None:
    """Open the subject, run rows until the input ends, close it. Whatever else it prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    rows = {**SHARED, **(extra or {})}
    began = time.perf_counter()
    try:
        subject.open()
        subject.call(1)
        out.write(json.dumps({"metrics": {"first-result": time.perf_counter() - began}}) + "\n")
        for line in sys.stdin:
            request = json.loads(line)
            out.write(json.dumps(_run(subject, rows, request["row"], request["params"])) + "\n")
    finally:
        subject.close()


def _run(subject: Subject, rows: Mapping[str, RowFunction], name: str, params: Mapping[str, float]) -> dict[str, Any]:
    function = rows.get(name) or rows.get(name.partition("-")[0])
    if function is None:
        return {"unsupported": True}
    try:
        return {"metrics": function(subject, params)}
    except Unsupported:
        return {"unsupported": True}
    except Exception as error:  # one row that fails must not cost the others
        sys.stderr.write(f"{name}: {error!r}\n")
        return {"error": f"{type(error).__name__}: {error}"[:300]}
