"""Writing that a stop, a crash or a full disk cannot leave half done: complete under its name, or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial-"
"""Names of what is being written begin so; what is left of a killed run is told by it."""


@contextmanager
def replacing(path: Path, *, suffix: str | None = None) -> Iterator[Path]:
    """Give a hidden name beside ``path`` to write a file to; it takes the place of ``path`` when the block ends well.

    Parameters
    ----------
    suffix
        Ending of the hidden name, for writers that choose the format by it; left out, the name of ``path``.

    Raises
    ------
    OSError
        If the folder cannot be written, or the disk is full.
    """
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=PARTIAL, suffix=f"-{path.name}"[-100:] if suffix is None else suffix
    )
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)  # mkstemp shuts others out
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, complete or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a file as UTF-8, complete or not at all."""
    write_bytes(path, content.encode())


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give an empty hidden folder inside of ``folder``, from which :func:`move_all` brings what is complete to its place."""
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=PARTIAL))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside ``path``; it takes the place of ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=PARTIAL))
    partial.chmod(0o755)
    try:
        yield partial
        move_all([(partial, path)])
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move files or folders to their places on the same disk: all of them, or none.

    A file that has the name of a target is replaced by a file, a folder by a folder. If one move fails, or the process is interrupted, those before it are
    taken back, and what they replaced is there again.

    Parameters
    ----------
    moves
        From where to where; folders of the targets are made where they are missing.

    Raises
    ------
    OSError
        If one cannot be moved, or a folder is in the way of a file; then everything is as it was.
    """
    for source, target in moves:
        if os.path.lexists(target) and target.is_dir() != source.is_dir():  # not an earlier result of the same name
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    made: list[Path] = []
    aside: list[Path] = []
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            made += [folder for folder in reversed(target.parents) if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                aside.append(Path(tempfile.mkdtemp(dir=target.parent, prefix=PARTIAL)))
                done.append((target, aside[-1] / target.name))
                target.replace(aside[-1] / target.name)
            done.append((source, target))
            source.replace(target)
    except BaseException:
        for before, after in reversed(done):
            with suppress(FileNotFoundError):  # the move that failed left nothing to take back
                after.replace(before)
        for folder in [*aside, *reversed(made)]:
            with suppress(OSError):
                folder.rmdir()
        raise
    finally:
        for folder in aside:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left half written in a folder; only for who holds the folder's lock."""
    for path in folder.glob(f"{PARTIAL}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
