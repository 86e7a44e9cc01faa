#!/usr/bin/env python3
"""Licences of all locked packages: ``requirements/licences.py`` writes licences.csv anew from what is installed here.

Run it after ``compile.sh`` as ``.venv/bin/python requirements/licences.py``, with the development lock installed and the
environments of ``docs/build.sh``, ``supply_chain.sh`` and ``apart.sh`` made. What a package says of itself is written in the terms of
SPDX; what is installed nowhere, because it is for another system, keeps its line, and a new one has to be looked up and
written by hand.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path

FOLDER = Path(__file__).parent
TABLE = FOLDER / "licences.csv"

ALLOWED = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4.3TAHOE", "BSL-1.0", "CC0-1.0"),
        *("HPND", "IJG", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib", "blessing", "libpng-2.0", "libtiff"),
        *("Apache-2.0 WITH LLVM-exception", "LicenseRef-Public-Domain"),
        # Weak copyleft: the package is used as it is, as a library that anyone can replace.
        *("LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-or-later", "MPL-1.1", "MPL-2.0"),
    }
)
"""What any lock may hold, in the terms of SPDX. Of several licences joined by OR, one is enough."""

ALLOWED_HERE = {
    "LicenseRef-NVIDIA": {"learning", "pathology", "development"},
    "GPL-3.0-only": {"development"},
    "GPL-2.0-or-later": {"shim"},
    "GPL-2.0-or-later WITH Bootloader-exception": {"shim"},
}
"""What only these locks may hold. NVIDIA's libraries may be passed on as parts of an application, by the terms that each
of them brings along: docs/security.md. What is under the GPL must be in no image."""

_WORDS = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit": "MIT",
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "2-clause bsd": "BSD-2-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "isc license (iscl)": "ISC",
    "lgpl-3.0-or-later": "LGPL-3.0-or-later",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl-2.0 and mit": "MPL-2.0 AND MIT",
    "python software foundation license": "PSF-2.0",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "licenseref-nvidia-proprietary": "LicenseRef-NVIDIA",
    "nvidia proprietary software": "LicenseRef-NVIDIA",
    "other/proprietary license": "LicenseRef-NVIDIA",
}
_READ_BY_HAND = {
    # Their metadata says less, or something else, than the licence that they bring along.
    "cuda-toolkit": "LicenseRef-NVIDIA",
    "docutils": "LicenseRef-Public-Domain AND BSD-2-Clause AND PSF-2.0",
    "nvidia-nvtx": "Apache-2.0 WITH LLVM-exception",
    "pyinstaller": "GPL-2.0-or-later WITH Bootloader-exception",
    "pyinstaller-hooks-contrib": "GPL-2.0-or-later AND Apache-2.0",
    "pylibjpeg-libjpeg": "GPL-3.0-only",
    "skops": "MIT",
}


def locked() -> dict[str, set[str]]:
    """Give the locks that hold each package, by its name."""
    found: dict[str, set[str]] = {}
    for lock in sorted(FOLDER.glob("*.txt")):
        for name in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", lock.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(normal(name), set()).add(lock.stem)
    return found


def noted() -> dict[str, str]:
    """Give the licence of each package as it stands in the table."""
    if not TABLE.is_file():
        return {}
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["package"]: row["licence"] for row in csv.DictReader(file)}


def stated(name: str) -> str | None:
    """Give the licence that an installed package states, in the terms of SPDX; None where it is not installed."""
    if name in _READ_BY_HAND:
        return _READ_BY_HAND[name]
    found = next(distributions(name=name, path=_places()), None)
    if found is None:
        return None
    about = found.metadata
    expression = about.get("License-Expression")
    if expression:
        return re.sub(r"LicenseRef-NVIDIA\S*", "LicenseRef-NVIDIA", expression)
    return next((_WORDS[word] for word in _phrases(about) if word in _WORDS), "unknown")


def _places() -> list[str]:
    """Where packages are installed: here, and in the environments of the documentation and of the supply chain."""
    beside = [*FOLDER.glob(".venv*/lib/*/site-packages"), *FOLDER.parent.glob("docs/.venv/lib/*/site-packages")]
    return [*sys.path, *map(str, beside)]


def _phrases(about: PackageMetadata) -> Iterable[str]:
    """What a package says, the more exact field first."""
    lines = (about.get("License") or "").strip().splitlines()
    said = lines[0].strip() if lines else ""
    yield said.removesuffix(" License").lower() if said.upper().startswith("BSD-") else said.lower()
    for classifier in about.get_all("Classifier") or []:
        if classifier.startswith("License"):
            yield classifier.rpartition("::")[2].strip().lower()


def refused(licence: str, locks: set[str]) -> list[str]:
    """Give the parts of a licence that are not allowed in these locks."""
    text = re.sub(r"\(([^()]*)\)", lambda group: _choice(group[1], locks), licence)
    parts = [_choice(part, locks) for part in text.split(" AND ")] if " AND " in text else [_choice(text, locks)]
    return [part for part in parts if not _is_allowed(part, locks)]


def _choice(text: str, locks: set[str]) -> str:
    """Of several licences, the first that is allowed."""
    choices = [choice.strip() for choice in text.split(" OR ")]
    return next((choice for choice in choices if _is_allowed(choice, locks)), choices[0])


def _is_allowed(licence: str, locks: set[str]) -> bool:
    return licence in ALLOWED or locks <= ALLOWED_HERE.get(licence, set())


def normal(name: str) -> str:
    """Give the name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the table, and end with exit code 1 where something is not known or not allowed."""
    before, rows, problems = noted(), [], []
    for name, locks in sorted(locked().items()):
        licence = stated(name) or before.get(name, "unknown")
        rows.append((name, licence, " ".join(sorted(locks))))
        problems += [f"{name}: {part} is not allowed in {' '.join(sorted(locks))}" for part in refused(licence, locks)]
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("package", "licence", "locks"))
        writer.writerows(rows)
    print(*problems, f"{len(rows)} packages are in {TABLE}", sep="\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
