"""`busfn up`: keeps one machine's stack running; `busfn url` tells where it is."""

from __future__ import annotations

import os
import time
from pathlib import Path

from busfn.config import RUNTIME, BusAddress, load_settings, runtime_file
from busfn.errors import ExecutionError
from busfn.protocol.names import validate_name
from busfn_cli.console import Console
from busfn_cli.tracebacks import describe
from busfn_services.home import data_folder
from busfn_services.process import run_service
from busfn_services.station import Station, StationOptions


def keep_up(console: Console, *, env: str | None, port: int, data: Path | None) -> int:
    """Run the stack until SIGTERM or SIGINT; returns the exit code."""

    def note(text: str) -> None:
        console.note(f"{time.strftime('%H:%M:%S')} {text}")

    def ready(address: BusAddress) -> None:
        console.result(f"ready {','.join(address.servers)}")

    try:
        settings = load_settings(env=env, follow_runtime=False)
        validate_name(settings.env, "environment")
        options = StationOptions(
            settings=settings, folder=data or data_folder(os.environ), runtime=runtime_file(os.environ), port=port
        )
        return run_service(Station(options, note, ready).run)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        console.error(describe(error))
        return 1


def bus_url(console: Console) -> int:
    """Print where the bus is, secrets included: whoever asks is the user they belong to."""
    try:
        settings = load_settings()
        if settings.address is None:
            raise ExecutionError("no bus is configured, and no `busfn up` runs: start it, or set BUSFN_URL")
    except Exception as error:
        console.error(describe(error))
        return 1
    address = settings.address
    secret = address.token or (f"{address.user}:{address.password}" if address.user else "")
    console.result(
        ",".join(server.replace("://", f"://{secret}@", 1) if secret else server for server in address.servers)
    )
    if settings.source != RUNTIME and address.creds:
        console.note(f"credentials are in {address.creds}")
    return 0
