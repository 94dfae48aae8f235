"""One function of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import busfn

app = busfn.App("kinds")


@app.function()
def plain(x: int) -> int:
    return x + 1


@app.function(name="async_plain")
async def async_plain(x: int) -> int:
    return x + 1


@app.function()
def items(x: int) -> Iterator[int]:
    yield x + 1


@app.function()
async def async_items(x: int) -> AsyncIterator[int]:
    yield x + 1
