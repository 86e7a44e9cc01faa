"""What the readers of single formats give back, and how they take voxels from a file without making any up."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.images import Image

# Deflate shrinks data by no more than this (RFC 1951), so that a header which promises more is wrong.
MAX_COMPRESSED = 1100
LONGEST_SIDE = 65_535
"""Voxels along an axis: detectors have a few thousand."""
_LONGEST_NAME = 255
_BROKEN = (EOFError, OSError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, eq=False)
class Content:
    """A file's voxels in their place, and what else the file tells of them.

    Attributes
    ----------
    image
        Voxels and geometry, with what was corrected as its notes.
    label_names
        Names of the values of a label map, where the file has them.
    """

    image: Image
    label_names: Mapping[int, str] = field(default_factory=dict)


def read_exactly(stream: IO[bytes], count: int, *, name: str, stored_bytes: int) -> NDArray[np.uint8]:
    """Read ``count`` bytes from a plain or unpacking stream, and to its end, so that its checksum is compared.

    Parameters
    ----------
    stored_bytes
        Size of the file, which bounds what can come out of it: a wrong header must not fill the memory.

    Raises
    ------
    InvalidInputError
        If there are fewer, or the compressed data are damaged.
    """
    if count > stored_bytes * MAX_COMPRESSED:
        raise cut_off(name, count, stored_bytes)
    # Never filled beforehand: what is not read must not look like voxels.
    voxels = np.empty(count, dtype=np.uint8)
    view = voxels.data
    done = 0
    try:
        while done < count:
            part = stream.read(min(count - done, 2**26))
            if not part:
                raise cut_off(name, count, done)
            view[done : done + len(part)] = part
            done += len(part)
        while stream.read(2**20):
            pass
    except EOFError:
        raise cut_off(name, count, done) from None
    except _BROKEN as error:
        raise InvalidInputError(f"{name} is damaged: its compressed data cannot be unpacked ({error}).") from error
    return voxels


def beside(header: Path, name: str) -> Path:
    """Find a file of voxels that a header names.

    Raises
    ------
    InvalidInputError
        If the name leads out of the folder of the header: a scan brings its own voxels, and no one else's.
    """
    parts = PurePosixPath(name)
    if not name or len(name) > _LONGEST_NAME or "\0" in name or parts.is_absolute() or ".." in parts.parts:
        raise InvalidInputError(
            f"{header.name} has its voxels in {name!a:.80}, which leads out of its folder or is no name; put them beside the "
            "header, and write their name there."
        )
    return header.parent / parts


_OTHERS = {
    b"\x89PNG": "a PNG picture, which does not state the size of its pixels",
    b"\xff\xd8\xff": "a JPEG picture, which does not state the size of its pixels",
    b"BM": "a BMP picture, which does not state the size of its pixels",
    b"PK": "a ZIP archive: unpack it",
    b"\x93NUMPY": "a NumPy array, which does not state the size of its voxels",
    b"\x89HDF": "an HDF5 file",
    b"CDF": "a MINC or netCDF file",
    b"# vtk": "a VTK file",
    b"II*\x00": "a TIFF under another ending",
    b"MM\x00*": "a TIFF under another ending",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch it with git lfs pull",
    b"<!DOCTYPE": "a web page, not the file itself: download it again",
    b"<html": "a web page, not the file itself: download it again",
}


def other_content(start: bytes) -> str | None:
    """Say what a file is that is no image, by its first bytes; None where that is not known."""
    if not start:
        return "empty (0 bytes): copy it again"
    return next((name for magic, name in _OTHERS.items() if start.startswith(magic)), None)


def cut_off(name: str, expected: int, found: int) -> InvalidInputError:
    """Say that a file holds less than its header promises."""
    return InvalidInputError(
        f"{name} is cut off: its header promises {expected:,} bytes of voxels, and there are {found:,}; copy it again."
    )


def check_finite(voxels: NDArray[Any], *, name: str) -> None:
    """Refuse voxels that are no numbers: NaN, or infinite."""
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise InvalidInputError(
            f"{name} holds {count} {'voxel that is not a finite number' if count == 1 else 'voxels that are not finite numbers'}; "
            "expected none."
        )


def check_size(size: tuple[int, ...], *, name: str) -> None:
    """Refuse a size (x, y, z, ...) that is no image, or more than one."""
    if any(not 1 <= n <= LONGEST_SIDE for n in size):
        raise InvalidInputError(
            f"{name} states a size of {_times(size)} voxels; expected 1 or more along each axis, and at most {LONGEST_SIDE:,}."
        )
    if len(size) not in (2, 3):
        raise InvalidInputError(
            f"{name} has {len(size)} dimensions ({_times(size)}); "
            "expected a 3D image: store one time point or one channel a file."
        )


def without_single_axes(size: tuple[int, ...]) -> tuple[int, ...]:
    """Drop further axes of one step behind the third: one time point is a volume."""
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    return size


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Turn stored values into the ones they stand for; whole numbers stay whole, in as few bytes as they need."""
    if (slope, intercept) == (1.0, 0.0):
        return stored
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        low, high = (int(value) * int(slope) + int(intercept) for value in (stored.min(), stored.max()))
        for dtype in (np.int16, np.int32):
            limits = np.iinfo(dtype)
            if min(low, high) >= limits.min and max(low, high) <= limits.max:
                return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept), dtype=dtype)
    values = stored.astype(np.float64) * slope + intercept
    return values.astype(np.float32) if stored.dtype.itemsize <= 2 else values


def _times(numbers: tuple[int, ...]) -> str:
    return " x ".join(f"{number:g}" if number > LONGEST_SIDE else str(number) for number in numbers)
