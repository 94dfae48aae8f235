"""The composition root of the SDK: an address becomes a connection with every way of calling on it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from busfn.bus.base import Bus
from busfn.config import BusAddress
from busfn.context import NOT_NESTED, Nesting
from busfn.errors import ClientClosed
from busfn.forks import FORKS
from busfn.invoke.conversation import Switchboard
from busfn.invoke.deadletters import DeadLetters
from busfn.invoke.direct import Direct
from busfn.invoke.durable import Durable
from busfn.invoke.graph import Graphs
from busfn.invoke.link import Link
from busfn.invoke.progress import Watch, unwatched
from busfn.known import Known
from busfn.pinning import Pinning
from busfn.protocol.codecs import Codecs
from busfn.protocol.subjects import Subjects
from busfn.sync import LoopThread


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Who and where a client is."""

    address: BusAddress
    env: str = "main"
    key: bytes | None = field(default=None, repr=False)
    """Signs pickles; None allows plain data only."""
    main_module: str = ""
    """Name under which workers import the script that runs as ``__main__`` here."""
    name: str = "busfn"
    nesting: Nesting = field(default=NOT_NESTED, repr=False)
    watch: Watch = field(default=unwatched, repr=False)
    """Told how far maps are."""


class Client:
    """A connection to the bus with its loop thread; usable from any thread. Close it when done."""

    def __init__(self, link: Link, options: ClientOptions) -> None:
        self.link = link
        self.options = options
        self.left = False
        """This process is a child of the one that opened it: use `here` instead."""
        self._renewed: Client | None = None
        self._lock = threading.Lock()
        self.board = Switchboard(link)
        self.direct = Direct(self.board)
        self.durable = Durable(link)
        self.dead = DeadLetters(link)
        self.graphs = Graphs(link)
        self.pinning = Pinning(link)
        self.known = Known(link)
        FORKS.watch(self)

    @classmethod
    def open(cls, options: ClientOptions, portal: LoopThread | None = None) -> Client:
        """Connect, on a new loop thread or on the given one.

        Raises `ConnectionError`, `AuthError` or `VersionError`.
        """
        with FORKS.loading():
            portal = portal or LoopThread()
            try:
                bus = portal.run(open_bus(options))
            except BaseException:
                portal.stop()
                raise
        return cls.on(options, portal, bus)

    @classmethod
    def on(cls, options: ClientOptions, portal: LoopThread, bus: Bus) -> Client:
        """A client on a bus that is connected already."""
        return cls(_link(options, portal, bus), options)

    @property
    def address(self) -> BusAddress:
        """Where the bus is."""
        return self.options.address

    def here(self) -> Client:
        """This client, or in a forked child the one that takes its place, with a connection of its own."""
        if not self.left:
            return self
        with self._lock:
            if self._renewed is None:
                self._renewed = Client.open(replace(self.options, nesting=NOT_NESTED, watch=unwatched))
            return self._renewed.here()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's socket and loop thread."""
        self.left, self._lock = True, threading.Lock()
        self.link.bus.abandon()
        self.link.portal.abandon()

    def close(self) -> None:
        """Fail what still waits and disconnect."""
        if self.left:
            return
        self.link.portal.run(self._close())
        self.link.portal.stop()

    async def _close(self) -> None:
        self.board.close(ClientClosed("the busfn client was closed while this call was waiting"))
        await self.link.bus.close()


async def open_bus(options: ClientOptions) -> Bus:
    """A connected bus. nats-py is imported here, so that ``import busfn`` stays cheap."""
    from busfn.bus.core import connect

    subjects = Subjects(options.env)
    return await connect(
        options.address,
        name=options.name,
        blob_stream=subjects.stream("BLOB"),
        blob_prefix=subjects.blob_prefix,
    )


def _link(options: ClientOptions, portal: LoopThread, bus: Bus) -> Link:
    return Link(
        portal=portal,
        bus=bus,
        subjects=Subjects(options.env),
        codecs=Codecs(options.key, options.main_module),
        nesting=options.nesting,
        watch=options.watch,
    )
