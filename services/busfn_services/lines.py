"""Lines of a pipe from another process of ours, which may write anything."""

from __future__ import annotations

import asyncio
import logging

logger = logging.getLogger("busfn.supervisor")


class Lines:
    """Lines of a pipe; those that are too long come in pieces that mean nothing."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.line = b""
        """The last one; empty at the end."""

    async def wait(self) -> None:
        """Until there is another one, or the end."""
        try:
            self.line = await self._reader.readline()
        except ConnectionResetError:  # the other one was killed before it had read what we told it
            self.line = b""
        except ValueError as error:  # a line over the reader's limit: its beginning is lost
            logger.warning("a line on a pipe is left out: %s", error)
            self.line = b"\n"
