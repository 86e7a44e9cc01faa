"""The progress of long work: what is done, of how much, and how long the rest will take; bars on a terminal, lines in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 60.0
"""Of a log: often enough to see that work goes on, seldom enough to read the rest."""


class Bars(Progress):
    """Bars on the error stream, where they mix with no output, that vanish at the end; where it is no terminal, a line a minute."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Begin to show."""
        if self.disable:
            threading.Thread(target=self._tell, daemon=True).start()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End to show."""
        self._ended.set()
        super().__exit__(kind, error, traceback)

    def _tell(self) -> None:
        while not self._ended.wait(LINE_EVERY_S):
            for task in self.tasks:
                if not task.finished:
                    print(told(task), file=sys.stderr, flush=True)


def told(task: Task) -> str:
    """Say in a line what is done, what is left, and how long that will take if the rest is as fast."""
    done, total, elapsed = int(task.completed), task.total, task.elapsed or 0.0
    clock = time.strftime("%H:%M")
    if total is None:
        return f"{clock} {task.description}: {done} done"
    left = int(total) - done
    said = f"{clock} {task.description}: {done} of {int(total)} done, {left} left"
    return said if not done else f"{said}, about {duration(elapsed / done * left)} to go"


def duration(seconds: float) -> str:
    """Write a time as a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def progress_bars() -> Bars:
    """Make bars, to be entered and given tasks."""
    return Bars()


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """One bar; gives what is called with the number of steps that are newly done."""
    with progress_bars() as bars:
        task = bars.add_task(description, total=total)
        yield lambda done: bars.advance(task, done)
