"""What is drawn again and again at the end of a terminal: progress bars of maps, and lines that workers redraw.

Imported when there is something to draw: rich would cost every run its start-up time.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from busfn.invoke.progress import Progress

PER_SECOND = 10.0


class LiveDisplay:
    """Stays below all that is printed meanwhile. Not locked: its owner sees to it that one thread uses it at a time."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=console)
        self._tasks: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._live = Live(
            get_renderable=self._render,
            console=console,
            transient=True,
            refresh_per_second=PER_SECOND,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )
        self._live.start()

    @property
    def empty(self) -> bool:
        """Nothing is left to be drawn."""
        return not self._tasks and not self._texts

    def progress(self, progress: Progress) -> None:
        """Show how far a map is."""
        if progress.over:
            task = self._tasks.pop(progress.call, None)
            if task is not None:
                self._bars.remove_task(task)
            return
        if progress.call not in self._tasks:
            self._tasks[progress.call] = self._bars.add_task(progress.function, total=None)
        self._bars.update(self._tasks[progress.call], completed=progress.done, total=progress.total)

    def state(self, key: str, text: str) -> None:
        """How a line looks now; an empty text ends it."""
        if text:
            self._texts[key] = text
        else:
            self._texts.pop(key, None)
            self._live.refresh()  # before its final state is printed above

    def above(self, text: str) -> None:
        """Print above it."""
        self._live.console.print(Text.from_ansi(text), soft_wrap=True)

    def end(self) -> None:
        """Take it away."""
        self._texts.clear()
        self._live.stop()

    def _render(self) -> RenderableType:
        lines = [Text(text, no_wrap=True, overflow="ellipsis") for text in self._texts.values()]
        return Group(*lines, self._bars.get_renderable()) if self._tasks else Group(*lines)
