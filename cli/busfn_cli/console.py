"""The only printer of the command line: results go to stdout, all else to stderr."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from busfn.invoke.progress import Progress

if TYPE_CHECKING:
    from rich import progress as rich_progress


def nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader is gone, as after `| head -1`."""
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


class Console:
    """Prints lines, and a progress bar below them while a map runs in a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._lock = threading.RLock()
        self._bars: rich_progress.Progress | None = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_bars()

    def result(self, text: str) -> None:
        """Something the user asked for."""
        with self._lock:
            print(text, flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows of what the user asked for, in columns; the head is shown to people only."""
        texts = [[str(cell) for cell in row] for row in rows]
        shown = [[name.upper() for name in head], *texts] if sys.stdout.isatty() else texts
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)] if shown else []
        for row in shown:
            self.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def log(self, function: str, line: str) -> None:
        """A line that a worker printed."""
        if not self.quiet:
            self._print(f"{function} | {line}")

    def note(self, text: str) -> None:
        """Something worth knowing."""
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Something that was lost, also for those who want it quiet."""
        self._print(text)

    def error(self, text: str) -> None:
        """What went wrong."""
        self._stop_bars()
        self._print(text)

    def progress(self, progress: Progress) -> None:
        """Show how far a map is."""
        if self.quiet or not sys.stderr.isatty():
            return
        with self._lock:
            if progress.over:
                self._close_bar(progress)
            else:
                self._show_bar(progress)

    def _print(self, text: str) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                with suppress(BrokenPipeError):  # who reads no more needs no more
                    print(text, file=sys.stderr, flush=True)

    def _show_bar(self, progress: Progress) -> None:
        bars = self._bars = self._bars or _new_bars()
        if progress.call not in self._tasks:
            self._tasks[progress.call] = bars.add_task(progress.function, total=None)
        bars.update(self._tasks[progress.call], completed=progress.done, total=progress.total)

    def _close_bar(self, progress: Progress) -> None:
        task = self._tasks.pop(progress.call, None)
        if task is not None and not self._tasks:
            self._stop_bars()

    def _stop_bars(self) -> None:
        with self._lock:
            bars, self._bars = self._bars, None
            self._tasks.clear()
            if bars is not None:
                bars.stop()


def _new_bars() -> rich_progress.Progress:
    """rich is imported when there is something to draw: it would cost every run its start-up time."""
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=RichConsole(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
    bars.start()
    return bars
