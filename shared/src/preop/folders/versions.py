"""What a result depends on beside its inputs: the code of the library, of an algorithm, and the packages below them."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("numpy", "scipy", "SimpleITK", "numba", "PyWavelets", "scikit-learn", "torch", "nnunetv2", "timm")
"""Packages that numbers come from, where they are installed."""


@functools.cache
def versions_digest() -> str:
    """Tell this library's code and the versions of Python and the packages below it by one checksum."""
    import preop

    lines = [f"python {platform.python_version()}", code_digest(Path(preop.__file__).parent)]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@functools.cache
def code_digest(folder: Path) -> str:
    """SHA-256 of the Python files and settings of a folder, by name."""
    content = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".toml"} and path.is_file():
            content.update(f"{path.relative_to(folder)}\n".encode())
            content.update(path.read_bytes())
    return content.hexdigest()
