"""Scans to the browser and masks back, voxel for voxel.

A viewer that turns volumes is where masks get mirrored or shifted. So every volume leaves this program turned to RAS already
(:func:`preop.imaging.reorient`, without resampling), in a frame in which the scan that is drawn on lies straight: no viewer
has anything left to turn. A mask comes back as one byte a voxel in exactly that order, x fastest, and is turned back here.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import AxialDiameters, Geometry, Image, axial_diameters, components, reorient, reorient_like

ORIENTATION = "RAS"
MAX_LABEL = 255
PART_BYTES = 2**22
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def to_nifti(image: Image, base: Geometry) -> Iterator[bytes | memoryview]:
    """Write a scan as NIfTI for the viewer, not compressed, in parts: a large one is sent while it is turned.

    Parameters
    ----------
    image
        The scan, in any orientation.
    base
        Grid of the scan that is drawn on: it is laid straight, and this one in its place relative to it.
    """
    import nibabel as nib

    turned = reorient(image, ORIENTATION, copied=False)
    dtype = _compact(turned.voxels)
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(turned.shape[::-1])
    affine = _frame(base) @ _affine(turned.geometry)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    header.set_xyzt_units("mm")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    slices = max(1, PART_BYTES // (turned.voxels[0].size * dtype.itemsize))
    parts = (turned.voxels[first : first + slices] for first in range(0, len(turned.voxels), slices))
    return chain(
        [bytes(header.binaryblock) + bytes(4)], (np.ascontiguousarray(part, dtype).data.cast("B") for part in parts)
    )


def mask_bytes(labels: Image) -> bytes:
    """Write a label map as the viewer draws it: one byte a voxel, x fastest, in RAS.

    Raises
    ------
    InvalidInputError
        If a label is above 255.
    """
    highest = int(labels.voxels.max(initial=0))
    if highest > MAX_LABEL:
        raise InvalidInputError(f"The mask has the label {highest}; the viewer draws labels up to {MAX_LABEL}.")
    turned = reorient(labels.with_voxels(labels.voxels.astype(np.uint8)), ORIENTATION)
    return np.ascontiguousarray(turned.voxels).tobytes()


def mask_from_bytes(content: bytes, grid: Geometry) -> Image:
    """Take a label map from the viewer back to the grid of its scan.

    Raises
    ------
    InvalidInputError
        If it has another number of voxels.
    """
    straight = _straight(grid)
    expected = int(np.prod(straight.shape))
    if len(content) != expected:
        raise InvalidInputError(f"The mask has {len(content):,} voxels; expected {expected:,}, those of its scan.")
    voxels = np.frombuffer(content, dtype=np.uint8).reshape(straight.shape)
    turned = reorient_like(Image(voxels, straight), grid)
    return Image(turned.voxels, grid)


def voxel_in_view(grid: Geometry, position_mm: tuple[float, float, float]) -> list[int]:
    """Voxel (x, y, z) of the viewer at a position in the world (LPS), cut at the edge of the scan."""
    straight = _straight(grid)
    index = np.rint(straight.index_zyx(np.asarray(position_mm))[0]).astype(int)
    inside = np.clip(index, 0, np.asarray(straight.shape) - 1)
    return [int(each) for each in inside[::-1]]


def index_in_scan(grid: Geometry, voxel: Sequence[int]) -> tuple[int, int, int]:
    """Index (z, y, x) in the scan's array of a voxel (x, y, z) of the viewer.

    Raises
    ------
    InvalidInputError
        If it lies outside.
    """
    straight = _straight(grid)
    index = np.asarray(voxel)[::-1]
    if index.shape != (3,) or (index < 0).any() or (index >= straight.shape).any():
        raise InvalidInputError(f"The voxel {list(voxel)} lies outside of the scan.")
    z, y, x = np.rint(grid.index_zyx(straight.world_mm(index[None]))[0]).astype(int).tolist()
    return z, y, x


def diameters_in_view(
    content: bytes, size: Sequence[int], at: Sequence[int], grid: Geometry
) -> tuple[AxialDiameters, float]:
    """Measure the one structure at a voxel, in a box of a mask that is on the screen.

    Parameters
    ----------
    content
        One byte a voxel of the box, x fastest; what is not 0 is marked.
    size, at
        Of the box, and the voxel in it, both (x, y, z).
    grid
        Of the scan that the mask is drawn on.

    Returns
    -------
    Its diameters in the axial slice where it is largest, and its volume in ml.

    Raises
    ------
    InvalidInputError
        If the box has another number of voxels, or nothing is marked at the voxel.
    """
    shape, place = tuple(size)[::-1], tuple(at)[::-1]
    if len(shape) != 3 or len(place) != 3 or any(not 0 <= here < end for here, end in zip(place, shape, strict=True)):
        raise InvalidInputError(f"The voxel {list(at)} does not lie in a box of {list(size)} voxels.")
    if len(content) != int(np.prod(shape)):
        raise InvalidInputError(f"The box has {len(content):,} voxels; expected {int(np.prod(shape)):,}.")
    straight = _straight(grid)
    box = Geometry(shape, straight.spacing_mm, straight.origin_mm, straight.direction)
    parts, _ = components(Image(np.frombuffer(content, np.uint8).reshape(shape) != 0, box))
    number = parts.voxels[place]
    if not number:
        raise InvalidInputError("Nothing is marked there.")
    inside = parts.voxels == number
    return axial_diameters(parts.with_voxels(inside)), float(inside.sum()) * box.voxel_volume_mm3 / 1000


def packed(content: bytes) -> bytes:
    """Compress quickly: masks are mostly 0."""
    return gzip.compress(content, compresslevel=1, mtime=0)


def unpacked(parts: Iterable[bytes], limit: int) -> bytes:
    """Unpack gzip, refusing more than ``limit`` bytes before they are there.

    Raises
    ------
    InvalidInputError
        If it is damaged, cut off, or more.
    """
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    found = bytearray()
    try:
        for part in parts:
            found += unpacker.decompress(part, limit + 1 - len(found))
            if len(found) > limit:
                raise InvalidInputError(f"The mask is larger than its scan, which has {limit:,} voxels.")
    except zlib.error:
        raise InvalidInputError("The mask that was sent is damaged: it is not packed by gzip.") from None
    if not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
        raise InvalidInputError("The mask that was sent is damaged or cut off: send it again.")
    return bytes(found)


def _compact(voxels: NDArray[np.generic]) -> np.dtype[Any]:
    """Whole numbers in 16 bits where they fit; else 32-bit floats."""
    if voxels.dtype.kind == "b" or voxels.dtype == np.uint8:
        return np.dtype(np.uint8)
    if voxels.dtype == np.int16:
        return np.dtype(np.int16)
    if voxels.dtype.kind in "iu":
        limits = np.iinfo(np.int16)
        if voxels.size and limits.min <= int(voxels.min()) and int(voxels.max()) <= limits.max:
            return np.dtype(np.int16)
    return np.dtype(np.float32)


def _straight(grid: Geometry) -> Geometry:
    """Grid of a scan as the viewer has it."""
    nothing = np.broadcast_to(np.uint8(0), grid.shape)
    return reorient(Image(nothing, grid), ORIENTATION, copied=False).geometry


def _affine(geometry: Geometry) -> NDArray[np.float64]:
    """Matrix from voxel indices (x, y, z) to RAS positions in mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(geometry.direction, (3, 3)) * np.asarray(geometry.spacing_mm)[::-1]
    affine[:3, 3] = geometry.origin_mm
    return np.asarray(_LPS_TO_RAS @ affine)


def _frame(base: Geometry) -> NDArray[np.float64]:
    """Rigid motion that lays the base straight: its voxels along the axes, its first one where it was."""
    affine = _affine(_straight(base))
    straight = np.eye(4)
    straight[:3, :3] = np.diag(np.linalg.norm(affine[:3, :3], axis=0))
    straight[:3, 3] = affine[:3, 3]
    return np.asarray(straight @ np.linalg.inv(affine))
