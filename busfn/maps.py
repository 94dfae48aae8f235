"""`map`, `starmap` and `for_each` as users see them; `busfn.invoke.mapper` does the work."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence, Sized
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast

from busfn.client import Client
from busfn.errors import InvalidError
from busfn.invoke.mapper import MapOptions, Mapping
from busfn.protocol.chunks import Row
from busfn.protocol.envelope import Call
from busfn.protocol.names import Target
from busfn.sync import running_loop

R = TypeVar("R")

logger = logging.getLogger("busfn")


class MapKeywords(TypedDict, total=False):
    """What `map` and `starmap` take besides their iterators."""

    kwargs: dict[str, Any] | None
    """Keyword arguments of all inputs."""
    order_outputs: bool
    """Results in the order of the inputs (the default), or as they come."""
    return_exceptions: bool
    """Failures take the place of their results instead of being raised."""


class ForEachKeywords(TypedDict, total=False):
    """What `for_each` takes besides its iterators."""

    kwargs: dict[str, Any] | None
    ignore_exceptions: bool


@dataclass(frozen=True, slots=True)
class MapSource:
    """What a map needs of its function."""

    name: str
    target: Target
    client: Callable[[], Client]
    new_call: Callable[[Client], Call]
    chunked: bool = True
    """Several short inputs may share a message."""

    def mapping(self, options: MapOptions) -> Mapping:
        """A map that can be iterated once."""
        client = self.client()
        return Mapping(client.link, self.target, self.new_call(client), options)


class MapResult(Generic[R]):
    """Results of a map. Iterate it once, with ``for`` or ``async for``; nothing is sent before."""

    def __init__(self, source: MapSource, inputs: Sequence[Any], options: MapOptions) -> None:
        self._source = source
        self._inputs = inputs
        self._options = options
        self._used = False

    def __iter__(self) -> Iterator[R]:
        if running_loop():
            self._used = True
            raise InvalidError(
                f"`{self._source.name}(...)` would block the running event loop;"
                f" write `async for ... in {self._source.name}.aio(...)`"
            )
        if self._take():
            yield from self._source.mapping(self._options).iterate(rows_of(self._inputs, self._options.uniform))

    async def __aiter__(self) -> AsyncIterator[R]:
        if self._take():
            rows = arows_of(self._inputs, self._options.uniform)
            async with aclosing(cast(Any, self._source.mapping(self._options).aiterate(rows))) as results:
                async for result in results:
                    yield result

    def __del__(self) -> None:
        if not self._used:
            logger.warning(
                "the results of a call to %s were not consumed, so the call will never be executed:"
                " use a for-loop over it, or list(...)",
                self._source.name,
            )

    def _take(self) -> bool:
        first, self._used = not self._used, True
        return first


class MapDual(Generic[R]):
    """``f.map(...)`` and ``f.map.aio(...)``."""

    __slots__ = ("_source", "_starred")

    def __init__(self, source: MapSource, *, starred: bool) -> None:
        self._source = source
        self._starred = starred

    def __call__(
        self,
        *iterators: Iterable[Any] | AsyncIterable[Any],
        **given: Unpack[MapKeywords],
    ) -> MapResult[R]:
        """Results in input order, or as they come; failures are raised, or returned in place."""
        check_keywords(self._source.name, given, MapKeywords)
        inputs = checked(self._source.name, iterators, starred=self._starred)
        options = MapOptions(
            kwargs=given.get("kwargs") or {},
            ordered=given.get("order_outputs", True),
            return_exceptions=given.get("return_exceptions", False),
            uniform=not self._starred,
            chunked=self._source.chunked,
            total=_total(inputs),
        )
        return MapResult(self._source, inputs, options)

    aio = __call__


class ForEachDual:
    """``f.for_each(...)`` and ``await f.for_each.aio(...)``."""

    __slots__ = ("_source",)

    def __init__(self, source: MapSource) -> None:
        self._source = source

    def __call__(self, *iterators: Iterable[Any] | AsyncIterable[Any], **given: Unpack[ForEachKeywords]) -> None:
        for _ in self._results(iterators, given):
            pass

    async def aio(self, *iterators: Iterable[Any] | AsyncIterable[Any], **given: Unpack[ForEachKeywords]) -> None:
        """The same without blocking the event loop."""
        async for _ in self._results(iterators, given):
            pass

    def _results(self, iterators: Sequence[Any], given: ForEachKeywords) -> MapResult[None]:
        check_keywords(self._source.name, given, ForEachKeywords)
        dual: MapDual[None] = MapDual(self._source, starred=False)
        ignore, kwargs = given.get("ignore_exceptions", False), given.get("kwargs")
        return dual(*iterators, kwargs=kwargs, order_outputs=False, return_exceptions=ignore)


def check_keywords(name: str, given: Collection[str], kind: type) -> None:
    """Raise `TypeError`, speaking of the method that was called, for a keyword that it does not take."""
    known = sorted(kind.__annotations__)
    for one in given:
        if one not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument {one!r}; it takes {', '.join(known)}")


def checked(name: str, iterators: Sequence[Any], *, starred: bool) -> Sequence[Any]:
    if not iterators or (starred and len(iterators) != 1):
        need = "exactly one iterator" if starred else "at least one iterator"
        raise InvalidError(f"`{name}` takes {need}, not {len(iterators)}")
    for iterator in iterators:
        if not isinstance(iterator, Iterable | AsyncIterable):
            raise TypeError(f"`{name}` takes iterables, not {type(iterator).__name__}")
    return iterators


def _total(inputs: Sequence[Any]) -> int | None:
    """How many rows there will be, when every iterable knows its length."""
    if not all(isinstance(one, Sized) for one in inputs):
        return None
    return min(len(one) for one in inputs)


def rows_of(inputs: Sequence[Any], uniform: bool) -> Iterator[Row]:
    for one in inputs:
        if not isinstance(one, Iterable):
            raise InvalidError("an async iterable needs `async for ... in f.map.aio(...)`")
    if uniform:
        return zip(*inputs, strict=False)
    return (tuple(element) for element in inputs[0])


async def arows_of(inputs: Sequence[Any], uniform: bool) -> AsyncIterator[Row]:
    iterators = [_aiter(one) for one in inputs]
    while True:  # ends: with the inputs
        row: list[Any] = []
        for iterator in iterators:
            try:
                row.append(await anext(iterator))
            except StopAsyncIteration:
                return
        yield tuple(row) if uniform else tuple(row[0])


async def _aiter(one: Any) -> AsyncIterator[Any]:
    if isinstance(one, AsyncIterable):
        async for item in cast("AsyncIterable[object]", one):
            yield item
    else:
        for item in one:
            yield item
