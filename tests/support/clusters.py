"""Three nats-servers on loopback that form a cluster, each of which can be killed and started again."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Self

from busfn.bus.server import find_server
from busfn.config import BusAddress

TOKEN = "cluster"
_CONFIG = """
server_name: {name}
listen: 127.0.0.1:{client}
http: 127.0.0.1:{monitor}
authorization {{ token: {token} }}
jetstream {{ store_dir: {store}, max_memory_store: 268435456, max_file_store: 1073741824 }}
cluster {{ name: busfn-test, listen: 127.0.0.1:{route}, routes: [{routes}] }}
"""


class Cluster:
    """Use it with ``with``: on entry the cluster has a leader and takes streams of three copies."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        self._folder = folder
        self._ports = _free_ports(3 * size)
        self._size = size
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(self._size)]

    @property
    def address(self) -> BusAddress:
        servers = tuple(f"nats://127.0.0.1:{self._port(name, 0)}" for name in self.names)
        return BusAddress(servers=servers, token=TOKEN)

    @property
    def url(self) -> str:
        """As `BUSFN_URL` takes it."""
        return ",".join(server.replace("://", f"://{TOKEN}@") for server in self.address.servers)

    def start(self, name: str) -> None:
        """Start one server, with what it had stored."""
        config = self._folder / f"{name}.conf"
        routes = ", ".join(f"nats://127.0.0.1:{self._port(each, 1)}" for each in self.names)
        config.write_text(
            _CONFIG.format(
                name=name, client=self._port(name, 0), route=self._port(name, 1), monitor=self._port(name, 2),
                token=TOKEN, store=json.dumps(str(self._folder / name)), routes=routes,
            )
        )  # fmt: skip
        log = self._folder / f"{name}.log"
        self._servers[name] = subprocess.Popen([find_server(), "-c", str(config), "-l", str(log)])

    def kill(self, name: str) -> None:
        """As hard as it goes; the data stay."""
        server = self._servers.pop(name)
        server.send_signal(signal.SIGKILL)
        server.wait()

    def leader(self, stream: str) -> str:
        """The name of the server that leads a stream."""
        for name in self._servers:
            for detail in self._streams(name):
                if detail["name"] == stream and detail["cluster"].get("leader") == name:
                    return name
        raise LookupError(f"{stream} has no leader")

    def replicas(self, stream: str) -> int:
        """How many copies the leader of a stream knows of, its own included."""
        for name in self._servers:
            for detail in self._streams(name):
                if detail["name"] == stream and detail["cluster"].get("leader") == name:
                    return 1 + len(detail["cluster"].get("replicas", ()))
        return 0

    def _streams(self, name: str) -> list[dict]:
        accounts = self._monitor(name, "jsz?streams=true").get("account_details", [])
        return [detail for account in accounts for detail in account.get("stream_detail", [])]

    def _monitor(self, name: str, path: str) -> dict:
        url = f"http://127.0.0.1:{self._port(name, 2)}/{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)

    def _port(self, name: str, kind: int) -> int:
        return self._ports[3 * self.names.index(name) + kind]

    def _wait_for_leader(self) -> None:
        """Every server must see a leader and all its peers: only then are three copies placed."""
        deadline = time.monotonic() + 30
        while not all(self._sees_all(name) for name in self.names):
            assert time.monotonic() < deadline, "the cluster did not come up"
            time.sleep(0.1)

    def _sees_all(self, name: str) -> bool:
        try:
            meta = self._monitor(name, "jsz").get("meta_cluster") or {}
        except OSError:
            return False
        return bool(meta.get("leader")) and meta.get("cluster_size") == self._size

    def __enter__(self) -> Self:
        for name in self.names:
            self.start(name)
        try:
            self._wait_for_leader()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._servers):
            self.kill(name)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
