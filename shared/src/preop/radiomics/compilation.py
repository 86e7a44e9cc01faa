"""Compiling loops over voxels so that no user waits for it.

numba compiles a function when it is first called and keeps the machine code beside the source, in ``__pycache__``.
Three things would make a container compile again at each start, and are dealt with here: code made for the processor
that built the image (so it is made for one of two kinds of processors, and during the build for both), a folder that the user of the container
cannot write to (so a cache that is complete is read from there all the same), and functions that were not called
during the build (``python -m preop.radiomics.warm_up`` calls them all). What is compiled all the same and cannot be kept is
used and forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from llvmlite.binding import get_host_cpu_features
from numba.core import caching

P = ParamSpec("P")
R = TypeVar("R")

ANY_PROCESSOR = "generic"
"""The architecture's common denominator."""
WIDE_PROCESSOR = "x86-64-v3"
"""Processors of the last ten years, which compute four numbers at a time; the results are the same to the last bit."""
WIDE_FEATURES = ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")


def this_processor() -> str:
    """Which of the two kinds of processors this is."""
    features = get_host_cpu_features()
    return WIDE_PROCESSOR if all(features.get(each) for each in WIDE_FEATURES) else ANY_PROCESSOR


if numba.config.CPU_NAME is None:
    numba.config.CPU_NAME = this_processor()
    numba.config.CPU_FEATURES = ""


class PrebuiltCacheLocator(caching.InTreeCacheLocator):  # type: ignore[misc]
    """The cache beside the source where it was built before and cannot be written to now."""

    def ensure_cache_path(self) -> None:
        """Pass where the folder is read-only and holds compiled functions of this file."""
        folder = Path(self.get_cache_path())
        if os.access(folder, os.W_OK) or not any(folder.glob(f"{Path(self._py_file).stem}.*.nbi")):
            raise OSError(f"{folder} is not a finished cache")


_LOCATORS = ",".join(
    (
        "UserProvidedCacheLocator",
        f"{__name__}.{PrebuiltCacheLocator.__name__}",
        "InTreeCacheLocator",
        "UserWideCacheLocator",
    )
)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with numba, without Python's global lock, and keep the machine code on disk."""
    others = numba.config.CACHE_LOCATOR_CLASSES
    numba.config.CACHE_LOCATOR_CLASSES = _LOCATORS
    try:
        dispatcher: Any = numba.njit(cache=True, nogil=True)(function)
    finally:
        numba.config.CACHE_LOCATOR_CLASSES = others
    cache = dispatcher._cache  # noqa: SLF001 - numba offers no other way to say that a full or read-only disk is no failure
    keep = cache.save_overload

    def keep_if_possible(signature: Any, code: Any) -> None:
        with suppress(OSError):
            keep(signature, code)

    cache.save_overload = keep_if_possible
    return cast(Callable[P, R], dispatcher)
