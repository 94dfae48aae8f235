"""The only printer of the command line: results go to stdout, all else to stderr.

Control characters are shown escaped, whoever they come from; what the user's own code prints may keep its colours.
"""

from __future__ import annotations

import json
import select
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from busfn.invoke.progress import Progress
from busfn.printable import printable

if TYPE_CHECKING:
    from busfn_cli.live_display import LiveDisplay


def nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader is gone, as after `| head -1`."""
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


class Console:
    """Prints lines, and at a terminal what is drawn again and again below them."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._lock = threading.RLock()
        self._display: LiveDisplay | None = None

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_display()

    def result(self, text: str) -> None:
        """Something the user asked for."""
        with self._lock:
            print(printable(text), flush=True)

    def json(self, value: object) -> None:
        """Something the user asked for, for programs; what is no ASCII is escaped as JSON does it."""
        with self._lock:
            print(json.dumps(value), flush=True)

    def value(self, text: str, *, own: bool = False) -> None:
        """A function's result: as it is for programs, printable for people; ``own`` code may use colours."""
        with self._lock:
            print(printable(text, colours=own) if sys.stdout.isatty() else text, flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows of what the user asked for, in columns; the head is shown to people only."""
        texts = [[printable(str(cell), lines=False) for cell in row] for row in rows]
        shown = [[name.upper() for name in head], *texts] if sys.stdout.isatty() else texts
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)] if shown else []
        for row in shown:
            self.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def log(self, function: str, line: str) -> None:
        """A line that a worker printed."""
        if not self.quiet:
            self._print(f"{function} | {line}", colours=True)

    def state(self, key: str, function: str, text: str) -> None:
        """How a line looks now that a worker draws again and again; an empty text ends it. Shown at a terminal only."""
        line = text and f"{function} | {printable(text, lines=False)}"
        self._draw(lambda display: display.state(key, line), over=not text)

    def note(self, text: str) -> None:
        """Something worth knowing."""
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Something that was lost, also for those who want it quiet."""
        self._print(text)

    def error(self, text: str) -> None:
        """What went wrong."""
        self._end_display()
        self._print(text)

    def progress(self, progress: Progress) -> None:
        """Show how far a map is, at a terminal."""
        self._draw(lambda display: display.progress(progress), over=progress.over)

    def _draw(self, change: Callable[[LiveDisplay], None], *, over: bool) -> None:
        if self.quiet or not sys.stderr.isatty():
            return
        with self._lock:
            if self._display is None and over:
                return
            if self._display is None:
                from busfn_cli.live_display import LiveDisplay  # which takes longer to load than a short run takes

                self._display = LiveDisplay()
            change(self._display)
            if self._display.empty:
                self._end_display()

    def _print(self, text: str, *, colours: bool = False) -> None:
        text = printable(text, colours=colours)
        with self._lock:
            if self._display is not None:
                self._display.above(text)
            else:
                with suppress(BrokenPipeError):  # who reads no more needs no more
                    print(text, file=sys.stderr, flush=True)

    def _end_display(self) -> None:
        with self._lock:
            display, self._display = self._display, None
            if display is not None:
                display.end()
