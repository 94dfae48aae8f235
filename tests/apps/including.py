"""Apps that include one another, and bodies that call what was included and what was looked up."""

from __future__ import annotations

import busfn

outer, middle, inner = busfn.App("outer"), busfn.App("middle"), busfn.App("inner")
twin = busfn.App("twin")


@inner.function()
def bar(x: int = 0) -> str:
    return f"bar {x}"


@inner.function()
def clash() -> str:
    return "inner's"


@outer.function(name="clash")
def outer_clash() -> str:
    return "outer's"


middle.include(inner)
outer.include(middle)
twin.include(inner)


@outer.function()
def calls_bar(x: int) -> str:
    return bar.remote(x)


@outer.function()
def looks_up(app: str, function: str, x: int) -> str:
    return busfn.Function.from_name(app, function).remote(x)


@outer.function()
async def finds(call: str) -> str:
    return await busfn.FunctionCall.from_id(call).get.aio(timeout=20)
