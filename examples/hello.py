"""The smallest app: one function, called once and mapped over a range."""

import busfn

app = busfn.App("hello")


@app.function()
def square(x: int) -> int:
    """The square of a number."""
    return x * x


@app.local_entrypoint()
def main(n: int = 10, name: str = "world") -> None:
    """Greet, and square some numbers in workers."""
    print(f"hello {name}", square.remote(n), list(square.map(range(n))))
