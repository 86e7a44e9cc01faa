"""What a result depends on beside its inputs: the code of the library, of an algorithm, and the packages below them."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

PACKAGES = ("numpy", "scipy", "SimpleITK", "numba", "PyWavelets", "scikit-learn", "torch", "nnunetv2", "timm")
"""Packages that numbers come from, where they are installed."""


@functools.cache
def versions_digest() -> str:
    """Tell this library's code and the versions of Python and the packages below it by one checksum."""
    import preop

    code = code_digest(Path(preop.__file__).parent)
    lines = [code, *(f"{name} {number}" for name, number in package_versions().items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@functools.cache
def package_versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that numbers come from, by name; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return MappingProxyType(found)


@functools.cache
def code_digest(folder: Path) -> str:
    """SHA-256 of the Python files and settings of a folder, by name."""
    content = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".toml"} and path.is_file():
            content.update(f"{path.relative_to(folder)}\n".encode())
            content.update(path.read_bytes())
    return content.hexdigest()
