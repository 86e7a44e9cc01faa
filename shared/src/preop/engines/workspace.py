"""The folders and streams of a run: what a program reads, where it writes, and what of it reaches the user."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from preop.atomic import move_all, staging
from preop.errors import InvalidInputError, InvalidOutputError


def existing_folders(folders: Mapping[str, Path | None]) -> dict[str, Path]:
    """Give the absolute paths of those folders that are given.

    Raises
    ------
    InvalidInputError
        If one of them is not there.
    """
    given = {name: folder.absolute() for name, folder in folders.items() if folder is not None}
    for name, folder in given.items():
        if not folder.is_dir():
            raise InvalidInputError(f"The {name.replace('_', ' ')} folder {folder} does not exist.")
    return given


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Give a folder that only we may enter, for one run or one server, on the disk of ``output`` and inside of it.

    What a run leaves there that was killed is removed by the next one that locks ``output``.

    Raises
    ------
    InvalidOutputError
        If ``output``, which is made where it is missing, cannot be written.
    """
    with ExitStack() as stack:
        try:
            output.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(staging(output.absolute()))
        except OSError as error:
            raise InvalidOutputError(f"The output folder {output} cannot be written: {error.strerror}.") from error
        yield folder.resolve()


def open_folder(path: Path) -> Path:
    """Make a folder that every user may write: the container's user is none of this machine."""
    path.mkdir()
    path.chmod(0o777)
    return path


def deliver(written: Path, output: Path) -> None:
    """Move all that a run wrote to where the user wants it, or nothing.

    Raises
    ------
    InvalidOutputError
        If the output cannot be written, or the run made anything but files and folders: a link could lead whoever reads
        the output to a file of somebody else.
    """
    for path in written.rglob("*"):
        if not (stat.S_ISREG(mode := path.lstat().st_mode) or stat.S_ISDIR(mode)):
            raise InvalidOutputError(
                f"The program wrote {path.relative_to(written)}, which is neither a file nor a folder; expected nothing else."
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
        move_all([(source, output / source.name) for source in sorted(written.iterdir())])
    except OSError as error:
        raise InvalidOutputError(f"The output folder {output} cannot be written: {error.strerror}.") from error


def empty(folder: Path) -> None:
    """Remove all that a folder holds, but not itself: a container has it mounted."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def readable_by_all(folder: Path) -> bool:
    """Whether every user can read a folder, and no link leads out of what a container sees of it."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink() or not mode & 0o004 or (path.is_dir() and not mode & 0o001):
            return False
    return True


def holds_links(folder: Path) -> bool:
    """Whether a folder holds a link, which may lead to what a program does not see."""
    return any(path.is_symlink() for path in folder.rglob("*"))


class Log:
    """The standard streams of a program, as far as they have not been read yet."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._read = {"stdout": 0, "stderr": 0}

    def new(self) -> tuple[str, str]:
        """Give what came on stdout and on stderr since the last call."""
        return self._rest("stdout", stdout_of(self._work)), self._rest("stderr", stderr_of(self._work))

    def _rest(self, name: str, path: Path) -> str:
        content = path.read_bytes()
        rest = content[self._read[name] :]
        self._read[name] = len(content)
        return rest.decode("utf-8", errors="replace")


def stdout_of(work: Path) -> Path:
    """File with all that a program wrote to stdout."""
    return work / "stdout.txt"


def stderr_of(work: Path) -> Path:
    """File with all that a program wrote to stderr."""
    return work / "stderr.txt"
