"""Axes of images: the order and direction in which they run through the patient."""

from __future__ import annotations

import numpy as np

from preop.errors import InvalidInputError
from preop.imaging.images import Geometry, Image

# The letter of a direction: world axis (x, y, z) and sign in the LPS system of DICOM and ITK.
_LETTERS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}

SAME_SPACING = 0.01
MUCH_LARGER = 1.5

Axes = tuple[tuple[int, int], ...]
"""For each array axis (z, y, x): the world axis it is closest to, and whether it runs along (1) or against it (-1)."""


def reorient(image: Image, code: str, *, copied: bool = True) -> Image:
    """Turn an image to other axes without resampling: its voxels keep their values and their place in the world.

    Parameters
    ----------
    image
        A scan, mask or label map (z, y, x).
    code
        Where the axes x, y, z of the result point to, for example ``"RAS"``: x to the patient's right,
        y to the front (anterior), z to the head (superior). Oblique axes go to the direction closest to theirs.
    copied
        Whether the voxels are copied to lie in memory in their new order; else they are a view of those of ``image``.

    Raises
    ------
    InvalidInputError
        If the image is flat, or ``code`` does not name three different axes.
    """
    wanted = tuple(_LETTERS[letter] for letter in reversed(code) if letter in _LETTERS)
    if len(code) != 3 or sorted(axis for axis, _ in wanted) != [0, 1, 2]:
        raise InvalidInputError(f"{code!r} is not an orientation; expected one of L/R, A/P and S/I each, as in 'RAS'.")
    return _turned(image, wanted, copied=copied)


def reorient_like(image: Image, geometry: Geometry) -> Image:
    """Turn an image to the order and direction of the axes of ``geometry``, without resampling."""
    return _turned(image, _axes(geometry))


def slice_axis(geometry: Geometry) -> int:
    """Tell which axis of an array (z, y, x) runs across the slices, whatever order the scan is stored in.

    It is the axis whose spacing is unlike that of the two others, which are alike as pixels are; where all are alike, or
    none, the one with much the largest spacing, and else the one that runs most nearly from foot to head.
    """
    spacing = np.asarray(geometry.spacing_mm)
    unlike = []
    for axis in range(3):
        one, other = np.delete(spacing, axis)
        square = abs(one - other) <= SAME_SPACING * one
        if square and abs(spacing[axis] - one) > SAME_SPACING * one:
            unlike.append(axis)
    if len(unlike) == 1:
        return unlike[0]
    *_, second, largest = np.sort(spacing)
    if largest >= MUCH_LARGER * second:
        return int(spacing.argmax())
    towards_head = np.reshape(geometry.direction, (3, 3))[2]
    return 2 - int(np.abs(towards_head).argmax())


def slices_first(image: Image) -> Image:
    """Bring an image (z, y, x) to an order in which the first axis runs across the slices.

    The others follow as in a DICOM slice: rows run from head to foot or from front to back, columns from side to side.
    Axes are exchanged, never turned round, and voxels keep their place in the world.
    """
    across = slice_axis(image.geometry)
    old = _axes(image.geometry)
    within = sorted((axis for axis in range(3) if axis != across), key=lambda axis: -old[axis][0])
    order = (across, *within)
    return image if order == (0, 1, 2) else _turned(image, tuple(old[axis] for axis in order))


def _axes(geometry: Geometry) -> Axes:
    """Give each array axis the world axis closest to it, the best match first."""
    if len(geometry.shape) != 3:
        raise InvalidInputError(f"An image has {len(geometry.shape)} dimensions; expected 3 to turn it.")
    cosines = np.reshape(geometry.direction, (3, 3)).copy()
    found: dict[int, tuple[int, int]] = {}
    for _ in range(3):
        world, column = np.unravel_index(np.argmax(np.abs(cosines)), cosines.shape)
        found[int(column)] = (int(world), 1 if cosines[world, column] > 0 else -1)
        cosines[world, :] = cosines[:, column] = 0
    return tuple(found[column] for column in (2, 1, 0))


def _turned(image: Image, wanted: Axes, *, copied: bool = True) -> Image:
    old = _axes(image.geometry)
    order = [next(axis for axis, (world, _) in enumerate(old) if world == wanted_world) for wanted_world, _ in wanted]
    flipped = [old[axis][1] != sign for axis, (_, sign) in zip(order, wanted, strict=True)]
    voxels = image.voxels.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    first = np.zeros(3)
    columns = np.reshape(image.geometry.direction, (3, 3))[:, ::-1]  # one column an array axis
    for axis, flip in zip(order, flipped, strict=True):
        first[axis] = image.shape[axis] - 1 if flip else 0
    turned = np.stack([columns[:, axis] * (-1 if flip else 1) for axis, flip in zip(order, flipped, strict=True)], 1)
    geometry = Geometry(
        shape=voxels.shape,
        spacing_mm=tuple(image.spacing_mm[axis] for axis in order),
        origin_mm=tuple(image.geometry.world_mm(first[None])[0].tolist()),
        direction=tuple(turned[:, ::-1].ravel().tolist()),
    )
    return Image(np.ascontiguousarray(voxels) if copied else voxels, geometry)
