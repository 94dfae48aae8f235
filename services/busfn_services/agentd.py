"""The process that runs workers on a host, for controllers to command: supervisor, fork server and agent."""

from __future__ import annotations

import asyncio
import os
import sys

from busfn_services.child import Orders, run_child, say
from busfn_services.supervisor.agent import Agent
from busfn_services.supervisor.code import CodeStore, cache_folder
from busfn_services.supervisor.context import open_context
from busfn_services.supervisor.forkserver import ForkServer
from busfn_services.supervisor.supervisor import Supervisor

GRACE = 30.0
"""Seconds that running inputs have when the host is stopped."""


def main() -> int:
    """Fork the fork server off while we are alone in the process, then serve."""
    forks = ForkServer.launch()

    async def child(orders: Orders, stop: asyncio.Event) -> int:
        context = await open_context(orders.address, env=orders.env, key=orders.key)
        try:
            async with Supervisor(context, forks) as supervisor:
                code = CodeStore(context, cache_folder(os.environ))
                async with Agent(context, supervisor, code, orders.host) as agent:
                    say(event="ready", host=agent.host)
                    await stop.wait()
                    await agent.leave(GRACE)
                await context.bus.flush()
        finally:
            await context.bus.close()
        return 0

    code = run_child(child)
    forks.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
