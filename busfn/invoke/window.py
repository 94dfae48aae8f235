"""The state of a map, without I/O: what is out, what came back, what may be sent next.

Inputs travel in *messages* of one or more consecutive inputs and come back in *blocks* of consecutive results that need
not match the messages: a message may be split on its way, and lost parts are sent again, so an index is accepted once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TARGET_WORK = 0.020
"""Seconds of work a message should hold."""
LEAST_WORK = 0.002
"""Seconds of work that a message holds at the end of a map, when there is so much: all workers shall end together."""
MOST_INPUTS = 4096
"""Inputs in a message at the most."""
MOST_BYTES = 256 * 1024
"""Bytes a message should hold at the most, judged by the ones before."""
GROWTH = 8
"""How much larger than the last a message may be."""
SHARES = 2
"""Messages into which each worker's part of what is left is divided at the least."""
MESSAGES_A_WORKER = 4
AHEAD = 0.010
"""Seconds of work for each worker that may be out, where short inputs travel alone."""
MOST_MESSAGES = 512
LEAST_MESSAGES = 32
"""Messages that may be out even when few workers are known: enough for a controller to see the need."""


@dataclass(slots=True)
class Outbound:
    """A message that is out."""

    first: int
    count: int
    missing: int
    got: bytearray | None = None
    """Which of its inputs are answered; None while that is all or nothing."""

    def unanswered(self) -> list[tuple[int, int]]:
        """Runs of (first, count) that still miss their results."""
        if self.got is None:
            return [(self.first, self.count)]
        runs: list[tuple[int, int]] = []
        for offset, done in enumerate(self.got):
            if done:
                continue
            if runs and sum(runs[-1]) == self.first + offset:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((self.first + offset, 1))
        return runs


@dataclass(slots=True)
class Block:
    """Consecutive results: values, or one failure."""

    first: int
    values: Sequence[Any]
    failure: BaseException | None = None

    @property
    def count(self) -> int:
        return len(self.values)


@dataclass(slots=True)
class Window:
    """Order and bounds of one map."""

    ordered: bool
    chunked: bool = True
    total: int | None = None
    """How many inputs there will be, when that is known."""
    workers: set[str] = field(default_factory=set[str])
    _out: dict[int, Outbound] = field(default_factory=dict[int, Outbound])
    _firsts: list[int] = field(default_factory=list[int])
    _ready: deque[Block] = field(default_factory=deque[Block])
    _early: dict[int, Block] = field(default_factory=dict[int, Block])
    _early_inputs: int = 0
    _next_in: int = 0
    _next_out: int = 0
    _last_size: int = 0
    _input_bytes: float = 0.0
    _mean: float | None = None

    @property
    def sent(self) -> int:
        """Inputs sent so far."""
        return self._next_in

    @property
    def idle(self) -> bool:
        """Everything sent was answered and taken."""
        return not self._out and not self._ready and not self._early

    def size(self) -> int:
        """Inputs the next message should hold; 0 while the window is full."""
        most = self._most_messages()
        if len(self._out) >= most or self._early_inputs >= most * max(1, self._last_size):
            return 0
        if not self.chunked or self._mean is None:
            return 1
        fitting = MOST_BYTES / self._input_bytes if self._input_bytes else MOST_INPUTS
        return max(1, int(min(self._wanted(self._mean), fitting, MOST_INPUTS, max(self._last_size, 1) * GROWTH)))

    def _wanted(self, mean: float) -> float:
        """Inputs that make a message long enough, and short enough when few are left."""
        if mean <= 0:
            return MOST_INPUTS
        wanted = TARGET_WORK / mean
        if self.total is None:
            return wanted
        share = (self.total - self._next_in) / (SHARES * max(1, len(self.workers)))
        return min(wanted, max(share, LEAST_WORK / mean))

    def _most_messages(self) -> int:
        most = max(LEAST_MESSAGES, MESSAGES_A_WORKER * len(self.workers))
        if self.chunked or not self._mean:
            return most
        return max(most, int(min(MOST_MESSAGES, len(self.workers) * AHEAD / self._mean)))

    def weigh(self, count: int, size: int) -> None:
        """A message of ``count`` inputs took ``size`` bytes."""
        self._input_bytes = max(size / count, 0.5 * self._input_bytes)

    def send(self, count: int) -> Outbound:
        """Account for a message of ``count`` inputs; its first index is where the last one ended."""
        out = Outbound(self._next_in, count, count)
        self._out[out.first] = out
        self._firsts.append(out.first)
        self._next_in += count
        self._last_size = count
        return out

    def ran(self, worker: str, mean: float) -> None:
        """A worker told how long it ran an input on average, in seconds."""
        self.workers.add(worker)
        self._mean = mean if self._mean is None else 0.7 * self._mean + 0.3 * mean

    def outbound(self, index: int) -> Outbound | None:
        """The message that holds this input, while anything of it is missing."""
        place = bisect_right(self._firsts, index) - 1
        if place < 0:
            return None
        out = self._out.get(self._firsts[place])
        return out if out is not None and index < out.first + out.count else None

    def waiting(self) -> list[Outbound]:
        """Messages that miss results, oldest first."""
        return list(self._out.values())

    def receive(self, block: Block) -> bool:
        """Take results that arrived; what is known already is dropped. Tells whether a message was completed by it."""
        out = self.outbound(block.first)
        if out is None:
            return False
        end = out.first + out.count
        if out.got is None and block.first == out.first and block.count == out.count:
            self._accept(block)
            out.missing = 0
        else:
            self._receive_parts(out, block, min(end, block.first + block.count))
        if out.missing == 0:
            self._complete(out)
        return out.missing == 0

    def take(self) -> Block | None:
        """The next block that may be yielded."""
        if not self._ready:
            return None
        block = self._ready.popleft()
        return block

    def _receive_parts(self, out: Outbound, block: Block, end: int) -> None:
        got = out.got = out.got or bytearray(out.count)
        for index in range(block.first, end):
            if got[index - out.first]:
                continue
            got[index - out.first] = 1
            out.missing -= 1
            self._accept(Block(index, block.values[index - block.first : index - block.first + 1], block.failure))

    def _accept(self, block: Block) -> None:
        if not self.ordered:
            self._ready.append(block)
            return
        self._early[block.first] = block
        self._early_inputs += block.count
        while (ripe := self._early.pop(self._next_out, None)) is not None:
            self._early_inputs -= ripe.count
            self._next_out += ripe.count
            self._ready.append(ripe)

    def _complete(self, out: Outbound) -> None:
        del self._out[out.first]
        if len(self._firsts) > 2 * len(self._out) + 64:
            self._firsts = list(self._out)
