"""The progress bar of long work: what is done, of how much, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bars() -> Progress:
    """Bars on the error stream, where they mix with no output; they vanish at the end. There are none in a file."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """One bar; gives what is called with the number of steps that are newly done."""
    with progress_bars() as bars:
        task = bars.add_task(description, total=total)
        yield lambda done: bars.advance(task, done)
