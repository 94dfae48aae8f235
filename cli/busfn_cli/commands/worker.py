"""`busfn worker`: a plain microservice, and the workers of deployed apps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from busfn_cli.console import Console
from busfn_cli.options import AsJson, Env


def run(
    ref: Annotated[
        str, typer.Argument(metavar="FILE.py[::NAME]", help="A function, or an app with all its functions.")
    ],
    module: Annotated[bool, typer.Option("-m", help="The reference is a module, not a file.")] = False,
    env: Env = None,
    processes: Annotated[int, typer.Option("--processes", "-n", min=1, help="Worker processes of each function.")] = 1,
    join: Annotated[
        bool, typer.Option("--join", help="Take calls beside those who serve the app already, as a deployment does.")
    ] = False,
) -> None:
    """Serve functions with a fixed number of workers, until SIGTERM or Ctrl-C: a plain microservice.

    Says `ready` and the bus's address once calls are answered. Without a configured bus (BUSFN_URL or NATS_URL) a NATS
    server is started for the service and stopped with it. The word `run` may be left out.

    Example: busfn worker app.py -n 4
    """
    from busfn_cli.serving import ServeRequest, serve

    with Console() as console:
        code = serve(ServeRequest(ref=ref, is_module=module, env=env, processes=processes, join=join), console)
    raise typer.Exit(code)


def list_(env: Env = None, as_json: AsJson = False) -> None:
    """List the workers of deployed apps: name, function, version, state, what it does, machine, process.

    Example: busfn worker list
    """
    from busfn_cli.fleet import hosts
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        found = client.link.portal.run(hosts(client))
        if as_json:
            rows = [
                {"host": host.host, "machine": host.machine, **asdict(one)} for host in found for one in host.workers
            ]
            console.json(rows)
            return
        head = ("worker", "function", "version", "state", "", "machine", "pid")
        console.table(
            head,
            [
                (one.name, f"{one.app}/{one.function}", one.version, one.state, _doing(one.busy, one.idle_for),
                 host.machine, one.pid)
                for host in found
                for one in host.workers
            ],
        )  # fmt: skip


def stop(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="Its name, from `busfn worker list`.")],
    graceful: Annotated[bool, typer.Option("--graceful", help="Let it finish what it runs and take no more.")] = False,
    env: Env = None,
) -> None:
    """End a worker of a deployed app; without --graceful at once, and what it ran is run again by another.

    Example: busfn worker stop w0123456789ab --graceful
    """
    from busfn_cli.fleet import stop_worker
    from busfn_cli.remote import connected

    with Console() as console, connected(console, env) as client:
        client.link.portal.run(stop_worker(client, worker, graceful=graceful))
        console.result(f"{worker} finishes what it runs" if graceful else f"{worker} was ended")


def _doing(busy: bool, idle_for: float) -> str:
    return "busy" if busy else f"idle {idle_for:.0f} s"
