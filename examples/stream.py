"""A generator in a worker, consumed here while it is produced: the first primes are printed long before the last."""

from collections.abc import Iterator

import busfn

app = busfn.App("stream")


@app.function()
def primes(below: int) -> Iterator[int]:
    """All primes below a number, by trial division."""
    found: list[int] = []
    for candidate in range(2, below):
        if all(candidate % prime for prime in found if prime * prime <= candidate):
            found.append(candidate)
            yield candidate


@app.local_entrypoint()
def main(below: int = 20_000, show: int = 10) -> None:
    """Print the first primes as they come, then how many there were.

    Args:
        below: where to stop
        show: how many to print
    """
    count = 0
    for prime in primes.remote_gen(below):
        count += 1
        if count <= show:
            print(prime, flush=True)
    print(f"{count} primes below {below}")
