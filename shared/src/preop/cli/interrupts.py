"""Ctrl-C ends a command in time, in one sentence, also where code that knows no Python signals is at work."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

GRACE_S = 1.0
"""Time to tidy up in; then the process ends as it is."""


@contextmanager
def stopping_in_time(sentence: str, exit_code: int) -> Iterator[None]:
    """End the process with a sentence and an exit code within about a second of Ctrl-C in this block.

    Python tells its code of a signal only between two of its instructions; a library can keep it waiting for minutes. So
    a thread of its own is woken by the signal too, and ends the process if the block has not ended by then.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(reading, sentence, exit_code), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        _end(sentence, exit_code)
    except SystemExit as ended:
        if ended.code == exit_code:  # typer's own answer to Ctrl-C
            _end(sentence, exit_code)
        raise
    finally:
        signal.set_wakeup_fd(before)


def _end_in_time(reading: socket.socket, sentence: str, exit_code: int) -> None:
    while number := reading.recv(1):
        if number[0] == signal.SIGINT:
            time.sleep(GRACE_S)
            _end(sentence, exit_code)


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
