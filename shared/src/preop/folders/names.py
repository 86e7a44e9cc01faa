"""Names that people give become names of folders: readable, valid on every system, and never two alike."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

LONGEST = 60
"""Letters that are kept of a name."""
_LONGEST_BYTES = 120

# Names of devices on Windows, with any ending (Microsoft, "Naming Files, Paths, and Namespaces").
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
# Files of the project that lie beside the folders have these endings.
_OURS = re.compile(r".*\.(json|toml|csv|html|log|key)", re.IGNORECASE)


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Give the name of a folder for each name, which stays as it is where it is safe and its own.

    Safe are ASCII letters, digits, ``_``, ``-`` and single dots inside, up to 60. Of any other name (``../x``, ``CON``,
    ``predictions.json``, trailing dots, other alphabets), and of names that differ only in capitals, what can stand is
    kept, and eight digits of the name's SHA-256 follow.
    """
    names = list(dict.fromkeys(names))
    found = {name: name if _safe(name) else _with_digits(name) for name in names}
    times = Counter(folder.casefold() for folder in found.values())
    return {name: _with_digits(name) if times[folder.casefold()] > 1 else folder for name, folder in found.items()}


def _safe(name: str) -> bool:
    return (
        len(name) <= LONGEST
        and bool(_PLAIN.fullmatch(name))
        and not _DEVICES.fullmatch(name)
        and not _OURS.fullmatch(name)
    )


def _with_digits(name: str) -> str:
    readable = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", name)).strip("_-")[:LONGEST]
    readable = readable.encode()[:_LONGEST_BYTES].decode(errors="ignore")
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable or 'unnamed'}-{digits}"
