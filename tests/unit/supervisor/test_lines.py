"""Lines of a pipe to which the other process may write anything."""

from __future__ import annotations

import asyncio

import pytest

from busfn_services.lines import Lines

pytestmark = pytest.mark.anyio

LIMIT = 100


async def read_all(data: bytes) -> list[bytes]:
    reader = asyncio.StreamReader(limit=LIMIT)
    reader.feed_data(data)
    reader.feed_eof()
    lines, found = Lines(reader), list[bytes]()
    while True:
        await lines.wait()
        if not lines.line:
            return found
        found.append(lines.line)


async def test_a_line_that_is_too_long_is_left_out_and_the_next_ones_are_read() -> None:
    found = await read_all(b"first\n" + b"x" * 10 * LIMIT + b"\nlast\n")
    assert found[0] == b"first\n"
    assert found[-1] == b"last\n"
    assert all(len(line) <= LIMIT for line in found)


async def test_an_empty_line_is_not_the_end() -> None:
    assert await read_all(b"\n\nlast") == [b"\n", b"\n", b"last"]
    assert await read_all(b"") == []
