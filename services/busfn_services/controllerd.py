"""The process that controls the deployed apps of an environment."""

from __future__ import annotations

import asyncio
import sys

from busfn_services.child import Orders, run_child, say
from busfn_services.controller.service import ControllerService
from busfn_services.supervisor.context import open_context


async def _child(orders: Orders, stop: asyncio.Event) -> int:
    context = await open_context(orders.address, env=orders.env, key=orders.key)
    try:
        service = ControllerService(context, lambda: say(event="ready"), lambda text: say(event="note", text=text))
        return await service.run(stop)
    finally:
        await context.bus.close()


def main() -> int:
    """Serve until we are told to stop."""
    return run_child(_child)


if __name__ == "__main__":
    sys.exit(main())
