"""A microservice that any NATS client can call.

    busfn worker examples/service.py              # prints: ready nats://TOKEN@127.0.0.1:PORT
    python examples/service.py nats://TOKEN@127.0.0.1:PORT

The second command is a bare NATS client: it knows subjects and JSON, and nothing of busfn.
"""

import asyncio
import dataclasses
import json
import sys

import busfn

app = busfn.App("shop")


@dataclasses.dataclass
class Item:
    """One line of an order."""

    name: str
    price: float
    quantity: int = 1


@app.function()
def total(items: list[Item], discount: float = 0.0) -> float:
    """The price of an order."""
    if not 0 <= discount < 1:
        raise ValueError("a discount is a fraction of 1")
    return round(sum(item.price * item.quantity for item in items) * (1 - discount), 2)


async def call_as_a_stranger(url: str) -> None:
    """What a program in any language would do."""
    import nats

    connection = await nats.connect(url)
    order = {"items": [{"name": "tea", "price": 3.5, "quantity": 2}, {"name": "cup", "price": 8}], "discount": 0.1}
    answer = await connection.request("busfn.main.fn.shop.total", json.dumps(order).encode())
    print("total:", json.loads(answer.data))
    refused = await connection.request("busfn.main.fn.shop.total", b'{"items": [{"name": "tea"}]}')
    print("error:", (refused.headers or {})["Nats-Service-Error"])
    await connection.close()


if __name__ == "__main__":
    asyncio.run(call_as_a_stranger(sys.argv[1]))
