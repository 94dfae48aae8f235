"""`busfn worker`: import, choose what to serve, serve until told to stop."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from busfn.app import App, LocalEntrypoint
from busfn.bus.server import EmbeddedServer
from busfn.config import BusAddress, Settings, load_settings
from busfn.errors import InvalidError
from busfn.refs import load, parse_ref, resolve
from busfn.sources import signed, specs
from busfn.spec import FunctionSpec
from busfn_cli.console import Console
from busfn_cli.remote import shown_address
from busfn_cli.target import choose
from busfn_cli.tracebacks import describe
from busfn_services.microservice import GRACE, Microservice, ServiceOptions
from busfn_services.process import run_service
from busfn_services.supervisor.forkserver import ForkServer

OWN_SERVER_PATIENCE = 2.0
"""Seconds for what runs when a server of our own has died while we stop: nobody gets the results any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """What the command line asks for."""

    ref: str
    is_module: bool
    env: str | None
    processes: int
    join: bool = False


def serve(request: ServeRequest, console: Console) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    forks = ForkServer.launch()  # before the user's code, a server or a loop start any thread
    try:
        settings = load_settings(env=request.env)
        chosen = _specs(request)
        with ExitStack() as stack:
            address, key = _bus(settings, stack)
            options = ServiceOptions(
                specs=signed(chosen, key),
                address=address,
                env=settings.env,
                key=key,
                processes=request.processes,
                patience=GRACE if settings.address else OWN_SERVER_PATIENCE,
                join=request.join,
            )
            service = Microservice(
                options,
                forks,
                console.log,
                lambda: console.result(f"ready {shown_address(address, own=settings.address is None)}"),
            )
            return run_service(service.run)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        console.error(describe(error))
        return 1
    finally:
        forks.close()


def _specs(request: ServeRequest) -> Sequence[FunctionSpec]:
    source = resolve(parse_ref(request.ref, module=request.is_module), os.getcwd())
    namespace = vars(load(source))
    shown, _, name = request.ref.partition("::")
    apps = {key: value for key, value in namespace.items() if isinstance(value, App)}
    if name in apps or (not name and len(apps) == 1):
        chosen = specs(apps[name] if name else next(iter(apps.values())))
    elif name or not apps:
        target = choose(namespace, name, shown)
        if isinstance(target.what, LocalEntrypoint):
            raise InvalidError(f"{name} is a local entrypoint: it runs in the caller, workers serve functions")
        chosen = [spec for spec in specs(target.app) if spec.name == target.what.name]
    else:
        raise InvalidError(f"{shown} has {len(apps)} apps; say which one to serve: {shown}::NAME")
    if not chosen:
        raise InvalidError(f"{shown} has an app, but no function to serve")
    return chosen


def _bus(settings: Settings, stack: ExitStack) -> tuple[BusAddress, bytes | None]:
    if settings.address is not None:
        return settings.address, settings.signing_key
    server = EmbeddedServer.launch()
    stack.callback(server.stop)
    server.wait_ready()
    return server.address, settings.signing_key or secrets.token_bytes(32)
