"""One run at a time in a folder: a lock that vanishes with its process, however that ends."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from preop.atomic import PARTIAL, remove_leftovers
from preop.errors import InvalidOutputError

LOCK_FILE = ".lock"
# Some network drives know no locks; work goes on there without.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other runs out of a folder, which is made where it is missing; what a killed run left half written goes.

    Parameters
    ----------
    wait
        Wait for another run that is in it, for work that is short and that both need done.

    Raises
    ------
    InvalidOutputError
        If another run is in it and ``wait`` is not set, with its process and since when; or if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _lock(folder, wait=wait)
    except OSError as error:
        raise InvalidOutputError(f"The folder {folder} cannot be written: {error.strerror}.") from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        with suppress(OSError):  # the folder itself may be gone
            (folder / LOCK_FILE).unlink()
        os.close(handle)


def was_killed(folder: Path) -> bool:
    """Whether a run that held the lock of a folder ended without tidying up, as ``kill -9`` does; then nobody holds it."""
    import fcntl

    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def is_empty(folder: Path) -> bool:
    """Whether a folder is missing, or holds nothing but what a killed run left half written, which the next one removes."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.name == LOCK_FILE or path.name.startswith(PARTIAL) for path in folder.iterdir())


def _lock(folder: Path, *, wait: bool) -> int:
    """Lock the file of the folder for this process; the system gives it back when the process ends."""
    import fcntl

    path = folder / LOCK_FILE
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InvalidOutputError(
                f"Another run is at work in {folder}{_owner(path)}: wait until it has ended, or name another folder."
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return handle
        # The run before may have removed the file between opening and locking: then another run would lock a new one.
        with suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == path.stat().st_ino:
                break
        os.close(handle)
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps({"process": os.getpid(), "since": since}).encode())
    return handle


def _owner(path: Path) -> str:
    try:
        noted = json.loads(path.read_text())
        return f" (process {noted['process']}, since {noted['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it has just begun, or just ended
