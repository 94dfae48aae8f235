"""What a forked child lets go of, because it is its parent's: sockets, pipes, event loops, processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that only the process that made it may use."""

    def abandon(self) -> None:
        """Called in a forked child: take no lock, do no I/O, leave the parent's side as it is."""
        ...


class Forks:
    """Tells what a process has opened that it was inherited by a child."""

    def __init__(self) -> None:
        self._watched: WeakSet[Inherited] = WeakSet()
        self._hooked = False
        self._loading = threading.RLock()
        self._kept: list[Inherited] = []
        """What a child has abandoned: were it collected, its finalizers would reach for what is the parent's."""

    def watch(self, resource: Inherited) -> None:
        """Have ``resource.abandon()`` called in children that are forked from now on, as long as it lives."""
        self._hook()
        self._watched.add(resource)

    @contextmanager
    def loading(self) -> Generator[None]:
        """No other thread forks while this block lasts, and imports or connects.

        The lock of a module that is being imported would be held for ever in the child.
        """
        self._hook()
        with self._loading:
            yield

    def _hook(self) -> None:
        if not self._hooked:
            self._hooked = True
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def _before(self) -> None:
        self._loading.acquire()

    def _in_parent(self) -> None:
        self._loading.release()

    def _in_child(self) -> None:
        self._loading = threading.RLock()
        self._kept = list(self._watched)
        self._watched = WeakSet()
        for resource in self._kept:
            resource.abandon()


def silence(descriptors: Iterable[int]) -> None:
    """Close a child's copies of descriptors, so that the parent's end is an end to whoever is at the other side.

    The numbers stay taken by ``/dev/null``: objects that still hold them will close them, or write to them.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)


FORKS = Forks()
"""The one of this process."""
