"""The pages of the review, built from their sources with Node.js once for each state of them.

    python -m preop.review.pages FOLDER

builds them into a folder, for an image without Node.js.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from preop.atomic import replacing_folder
from preop.errors import MissingToolError
from preop.folders import digest_of, locked, sha256

SOURCES = Path(__file__).parent / "web"
BUILT_VARIABLE = "PREOP_REVIEW_PAGES"
"""Folder of pages that are built already, as in an image without Node.js."""
_BUILT = "dist"
_MIN_NODE = (20, 19)
_HEAD = 4


def find_pages(tell: Callable[[str], object]) -> Path:
    """Give the folder of the built pages; where they are not built yet, build them.

    Parameters
    ----------
    tell
        Is given a sentence before the work that takes a minute.

    Raises
    ------
    MissingToolError
        If Node.js is missing or too old, or the packages cannot be had.
    """
    given = os.environ.get(BUILT_VARIABLE)
    if given:
        folder = Path(given)
        if not (folder / "index.html").is_file():
            raise MissingToolError(f"{BUILT_VARIABLE} names {folder}, which holds no built pages (index.html).")
        return folder
    folder = _cache() / f"review-{_digest()}"
    if not (folder / "index.html").is_file():
        with locked(_cache() / f"building-{_digest()}", wait=True):
            if not (folder / "index.html").is_file():  # another start may have built them meanwhile
                tell("Building the pages of the review (once, about a minute) ...")
                _build(folder)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preop"


def _sources() -> list[Path]:
    return sorted(
        path
        for path in SOURCES.rglob("*")
        if path.is_file() and not {"node_modules", _BUILT} & set(path.relative_to(SOURCES).parts)
    )


def _digest() -> str:
    return digest_of([(path.relative_to(SOURCES).as_posix(), sha256(path)) for path in _sources()])[:16]


def _build(folder: Path) -> None:
    _check_node()
    with tempfile.TemporaryDirectory(prefix="preop-review-") as temporary:
        work = Path(temporary)
        for path in _sources():
            target = work / path.relative_to(SOURCES)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        # No script of a package runs: what is needed comes as files.
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
        _run(["npm", "run", "build"], work)
        with replacing_folder(folder) as partial:
            shutil.copytree(work / _BUILT, partial, dirs_exist_ok=True)


def _check_node() -> None:
    wanted = ".".join(map(str, _MIN_NODE))
    advice = (
        f"install Node.js {wanted} or later (https://nodejs.org), or let {BUILT_VARIABLE} name pages that are built"
    )
    if not shutil.which("node") or not shutil.which("npm"):
        raise MissingToolError(f"The pages of the review are built with Node.js and npm, which are not here: {advice}.")
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    try:
        version = tuple(int(part) for part in found.removeprefix("v").split(".")[:2])
    except ValueError:
        version = (0, 0)
    if version < _MIN_NODE:
        raise MissingToolError(f"The pages of the review cannot be built with Node.js {found.lstrip('v')}: {advice}.")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if len(line.split()) > 2][:_HEAD]
        raise MissingToolError(
            f"The pages of the review could not be built ({' '.join(command[:2])}): {'; '.join(lines) or 'no message'}"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("Name one folder that is not there yet: it gets the pages.")
    shutil.copytree(find_pages(print), sys.argv[1])
