"""Whether every package of a lock can be installed without a compiler: ``python requirements/platforms.py``.

Asks for each lock, version of Python and platform, by a dry run of uv, and writes ``platforms.csv``. Needs uv and a package index.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
TABLE = FOLDER / "platforms.csv"
LOCKS = (
    "imaging",
    "inference",
    "slides",
    "evaluation",
    "training",
    "review",
    "hospital",
    "cluster",
    "learning",
    "pathology",
)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PURE = ("acvl-utils", "autograd-gamma", "neurocombat")
"""Packages of Python alone that are published as sources: no compiler is needed for them."""
OLDEST_MACOS = "14.0"
"""That torch has wheels for."""
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux ARM": "aarch64-manylinux_2_28",
    "macOS ARM": "aarch64-apple-darwin",
    "Windows": "x86_64-pc-windows-msvc",
}


def resolves(lock: str, python: str, platform: str) -> str:
    """Give "yes", or what is missing."""
    with tempfile.TemporaryDirectory() as target:
        done = subprocess.run(
            [
                *("uv", "pip", "install", "--dry-run", "--no-deps", "--no-config", "--only-binary", ":all:"),
                *(word for name in PURE for word in ("--no-binary", name)),
                *("--require-hashes", "--python-version", python, "--python-platform", PLATFORMS[platform]),
                *("--target", target, "--requirement", str(FOLDER / f"{lock}.txt")),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
        )
    if done.returncode == 0:
        return "yes"
    missing = re.search(r"Because (\S+) has no", done.stderr)
    return f"no wheel of {missing[1]}" if missing else done.stderr.strip().splitlines()[-1]


def digest_of(lock: str) -> str:
    """SHA-256 of a lock, by which a table that was made for another is told."""
    return hashlib.sha256((FOLDER / f"{lock}.txt").read_bytes()).hexdigest()


def main() -> None:
    """Ask for all, and write the table."""
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("lock", "sha256", "python", "platform", "installs"))
        for lock, python, platform in itertools.product(LOCKS, PYTHONS, PLATFORMS):
            answer = resolves(lock, python, platform)
            writer.writerow((lock, digest_of(lock), python, platform, answer))
            sys.stdout.write(f"{lock} {python} {platform}: {answer}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
