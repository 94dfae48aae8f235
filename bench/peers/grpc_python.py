"""gRPC for Python, no broker: two asyncio servers, bytes as messages, so that no protobuf work is measured."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import grpc
import grpc.aio

from bench.serving import serve
from bench.subject import WORKERS, Subject

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
CLIENT = [*UNLIMITED, ("SingleThreadedUnaryStream", 1)]
"""The last one is the performance guide's advice for streams of synchronous clients."""


class Grpc(Subject):
    """A blocking client for single calls, an asyncio client for many in flight."""

    def open(self) -> None:
        self._servers = [
            subprocess.Popen([sys.executable, "-m", "bench.peers.grpc_python", "serve"], stdout=subprocess.PIPE)
            for _ in range(WORKERS)
        ]
        self._addresses = [f"127.0.0.1:{int(server.stdout.readline())}" for server in self._servers if server.stdout]
        self._channel = grpc.insecure_channel(self._addresses[0], options=CLIENT)
        self._noop = self._channel.unary_unary("/bench/noop")
        self._items = self._channel.unary_stream("/bench/items")

    def close(self) -> None:
        self._channel.close()
        for server in self._servers:
            server.kill()
            server.wait()

    def call(self, x: int) -> bytes:
        return self._noop(b"1")

    def in_flight(self, calls: int, width: int) -> None:
        async def measure() -> None:
            channels = [grpc.aio.insecure_channel(address) for address in self._addresses]
            methods = [channel.unary_unary("/bench/noop") for channel in channels]

            async def one(method) -> None:
                for _ in range(calls // width):
                    await method(b"1")

            await asyncio.gather(*(one(method) for method in islice(cycle(methods), width)))
            for channel in channels:
                await channel.close()

        asyncio.run(measure())

    def in_flight_threads(self, calls: int, width: int) -> None:
        with ThreadPoolExecutor(width) as pool:
            for _ in pool.map(self.call, range(calls)):
                pass

    def items(self, count: int) -> Iterator[bytes]:
        return iter(self._items(str(count).encode()))

    def echo(self, payload: bytes) -> bytes:
        return self._noop(payload)


async def noop(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return request


async def items(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    for _ in range(int(request)):
        yield b"0123456789"


async def run_server() -> None:
    server = grpc.aio.server(options=UNLIMITED)
    handlers = {
        "noop": grpc.unary_unary_rpc_method_handler(noop),
        "items": grpc.unary_stream_rpc_method_handler(items),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(run_server())
    else:
        serve(Grpc())
