"""Ctrl-C and SIGTERM end a command in time, in one sentence, also where code that knows no Python signals is at work."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

GRACE_S = 1.0
"""Time to tidy up in; then the process ends as it is."""
TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as shells have it."""


@contextmanager
def stopping_in_time(sentence: str, exit_code: int) -> Iterator[None]:
    """End the process with a sentence within about a second of Ctrl-C or SIGTERM in this block.

    SIGTERM is what a cluster sends when the time of a job is over, and what ``kill`` does: it is taken as Ctrl-C is, and ends in
    the exit code that shells know it by.

    Python tells its code of a signal only between two of its instructions; a library can keep it waiting for minutes. So
    a thread of its own is woken by the signal too, and ends the process if the block has not ended by then.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    terminating = signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_end_in_time, args=(reading, sentence, exit_code), daemon=True).start()
    try:
        yield
    except _TerminatedError:
        _end(sentence, TERMINATED)
    except KeyboardInterrupt:
        _end(sentence, exit_code)
    except SystemExit as ended:
        if ended.code == exit_code:  # typer's own answer to Ctrl-C
            _end(sentence, exit_code)
        raise
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, terminating)


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM, which ends what Ctrl-C ends."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def _end_in_time(reading: socket.socket, sentence: str, exit_code: int) -> None:
    while number := reading.recv(1):
        if number[0] in {signal.SIGINT, signal.SIGTERM}:
            time.sleep(GRACE_S)
            _end(sentence, exit_code if number[0] == signal.SIGINT else TERMINATED)


_ending = threading.Lock()


def _end(sentence: str, exit_code: int) -> None:
    """End now, whatever other threads do; children that were started to work for this process go with it."""
    from multiprocessing import active_children

    if not _ending.acquire(blocking=False):
        time.sleep(60)  # the other thread is ending the process
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    print(sentence, file=sys.stderr, flush=True)
    for child in active_children():
        child.kill()
    os._exit(exit_code)
