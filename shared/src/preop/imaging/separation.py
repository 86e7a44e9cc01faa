"""The structures of a drawn segmentation, each with a number of its own, whatever way it was drawn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.images import Image
from preop.imaging.regions import bounding_box, components, crop, split_touching
from preop.wording import counted

WAIST_MM = 1.0
"""Two structures in one are split where the distance from their outline dips by this much between them."""

SPECK_MM3 = 5.0
"""Smaller parts of a mask (a sphere of 2 mm) are slips of the pen."""

RAGGED = 0.2
"""A detached part of a label that is smaller than this share of its largest one belongs to the same structure."""

HIGHEST_LABEL = 65535

MAX_STRUCTURES = 500
"""More than anyone draws in a patient."""

MAX_SHARE = 0.75
"""Of a scan: a structure that fills its smallest box as a ball does covers 0.52 of it, and scans are larger than that."""

COMPACT = 0.6
"""Share of a drawing's voxels whose neighbour within a slice is in the same structure: 0.58 in one of 2 x 3 voxels, more in
larger ones, and in noise the share of voxels that are labelled."""
SCATTERED = 10
"""Times that the boxes around the labels, put together, may be as large as the one around them all. The boxes of structures
that lie beside each other overlap little; in noise each is about as large as all of the drawing, and so are the costs."""
ENOUGH_FOR_NOISE = 300
"""Labelled voxels from which noise is told by that: fewer may be a few small structures."""


def check_drawn(segmentation: Image, *, name: str, structure: str) -> None:
    """Refuse a segmentation that nobody has drawn: noise, the whole scan, or a scan in its place; an empty one is none of them.

    Parameters
    ----------
    segmentation
        One whole number a structure and 0 elsewhere, or one number for all.
    name
        What the segmentation is called in messages.
    structure
        What one of its structures is called, "lymph node" for example.

    Raises
    ------
    InvalidInputError
        If it holds values that are no labels, more labels than anyone draws, or labels without any shape.
    """
    values = segmentation.voxels
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > HIGHEST_LABEL or (values.dtype.kind == "f" and (values != np.round(values)).any()):
        raise InvalidInputError(
            f"The {name} holds values from {low:g} to {high:g}; expected whole numbers from 0 to {HIGHEST_LABEL}, one for "
            f"each {structure}."
        )
    drawn = values != 0
    count = int(drawn.sum())
    if count > MAX_SHARE * values.size:
        raise InvalidInputError(
            f"The {name} marks {count / values.size:.0%} of the scan; expected each {structure}, and nothing around it: check "
            "that it is the segmentation, and that the background is 0."
        )
    labels = len(np.unique(values[drawn]))
    if labels > MAX_STRUCTURES:
        raise InvalidInputError(
            f"The {name} holds {labels:,} labels; expected one for each {structure}, and at most {MAX_STRUCTURES}: is it the "
            "segmentation, or a scan?"
        )
    if count >= ENOUGH_FOR_NOISE and _compactness(values) < COMPACT:
        raise InvalidInputError(
            f"The {name} looks like noise: most of its {count:,} labelled voxels have other labels beside them; expected "
            f"each {structure} as a coherent region."
        )
    spread = _spread(values) if labels > SCATTERED else 0.0
    if spread > SCATTERED:
        raise InvalidInputError(
            f"The {name} looks like noise: its {labels} labels are scattered, and the boxes around them are together "
            f"{spread:.0f} times as large as the box around all; expected each {structure} as a coherent region."
        )


def _compactness(values: NDArray[np.generic]) -> float:
    """Share of labelled voxels with the same label behind them, along the two axes where it is largest: slices can be thick."""
    alike = []
    for axis in range(values.ndim):
        along = np.moveaxis(values, axis, 0)
        alike.append(int(((along[1:] == along[:-1]) & (along[1:] != 0)).sum()))
    return sum(sorted(alike)[-2:]) / (2 * int((values != 0).sum()))


def _spread(values: NDArray[np.generic]) -> float:
    """Volume of the boxes around all labels together, as a multiple of the one around what is drawn."""
    from scipy import ndimage

    drawn = values[bounding_box(values)].astype(np.int32)
    boxes = [box for box in ndimage.find_objects(drawn) if box is not None]
    return float(sum(math.prod(part.stop - part.start for part in box) for box in boxes) / drawn.size)


def separate_instances(segmentation: Image, *, name: str, structure: str) -> tuple[Image, list[str]]:
    """Give each structure of a segmentation a number of its own.

    Of labels, each keeps its number; large detached parts of a label get new numbers behind them. In a mask of a single
    value, connected parts are structures, those that touch are split at their waist, and the largest is 1.

    Parameters
    ----------
    segmentation
        One whole number a structure and 0 elsewhere, or one number for all.
    name
        What the segmentation is called in messages.
    structure
        What one of its structures is called, "lymph node" for example.

    Returns
    -------
    The label map (int32), which may be empty, and what was done to the segmentation, in sentences.

    Raises
    ------
    InvalidInputError
        As :func:`check_drawn`, and if it holds more structures than anyone draws.
    """
    check_drawn(segmentation, name=name, structure=structure)
    values = segmentation.voxels
    numbers = np.zeros(segmentation.shape, dtype=np.int32)
    if not values.any():
        return segmentation.with_voxels(numbers), []
    box = bounding_box(values)
    drawn = crop(segmentation, box)
    drawn = drawn.with_voxels(drawn.voxels.astype(np.int32))
    if len(np.unique(drawn.voxels[drawn.voxels > 0])) == 1:
        parts, names, notes = _parts_of_mask(drawn, name, structure)
    else:
        parts, names, notes = _parts_of_labels(drawn, structure)
    names, specks = _without_specks(parts, names)
    if specks:
        notes.append(f"{counted(specks, 'part')} of the segmentation left out: under {SPECK_MM3:g} mm3, too small.")
    _check_number(len(np.unique(names[names > 0])), name, structure)
    numbers[box] = names[parts.voxels]
    return segmentation.with_voxels(numbers), notes


def _parts_of_mask(drawn: Image, name: str, structure: str) -> tuple[Image, NDArray[np.int32], list[str]]:
    """Take connected parts of a mask for structures, split at waists, and number them by falling size."""
    connected, connected_count = components(drawn)
    # Before the split, which takes its time for each part.
    kept, _ = _without_specks(connected, np.arange(connected_count + 1, dtype=np.int32))
    _check_number(int(np.count_nonzero(kept)), name, structure)
    parts, count = split_touching(connected, waist_mm=WAIST_MM)
    splits = count - connected_count
    notes = []
    if splits:
        notes.append(
            f"{structure.capitalize()}s that touch each other were split at their waist, {counted(splits, 'time')}."
        )
    return parts, np.arange(count + 1, dtype=np.int32), notes


def _check_number(count: int, name: str, structure: str) -> None:
    if count > MAX_STRUCTURES:
        raise InvalidInputError(
            f"The {name} holds {count:,} separate {structure}s; expected at most {MAX_STRUCTURES}: is it noise, or that of "
            "another scan?"
        )


def _parts_of_labels(drawn: Image, structure: str) -> tuple[Image, NDArray[np.int32], list[str]]:
    """Keep the reader's numbers; of detached parts with the same number, large ones get new numbers behind them.

    A small one is a ragged outline; a large one is another structure, as where left nodes are 1 and right ones 2.
    """
    from scipy import ndimage

    parts = np.zeros(drawn.shape, dtype=np.int32)
    names = [0]
    unnamed: list[int] = []
    for label, box in enumerate(ndimage.find_objects(drawn.voxels), start=1):
        if box is None:
            continue
        here, count = components(crop(drawn, box).with_voxels(drawn.voxels[box] == label))
        sizes = np.bincount(here.voxels.ravel(), minlength=count + 1)[1:]
        inside = here.voxels > 0
        parts[box][inside] = here.voxels[inside] + len(names) - 1
        unnamed += [len(names) + place for place in range(1, count) if sizes[place] >= RAGGED * sizes[0]]
        names += [label] * count
    for new, place in enumerate(unnamed, start=max(names) + 1):
        names[place] = new
    notes = []
    if unnamed:
        what = counted(len(unnamed), "detached part")
        notes.append(
            f"Labels of the segmentation have {what}, taken as {structure}s of their own: the {len(unnamed)} last numbers."
        )
    return drawn.with_voxels(parts), np.array(names, dtype=np.int32), notes


def _without_specks(parts: Image, names: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Take the number from structures that are too small; one of two voxels in a thick scan is not."""
    voxel_mm3 = parts.geometry.voxel_volume_mm3
    volumes = np.bincount(names[parts.voxels].ravel(), minlength=int(names.max()) + 1) * voxel_mm3
    small = np.flatnonzero((volumes > 0) & (volumes < min(SPECK_MM3, 2 * voxel_mm3)))
    return np.where(np.isin(names, small), 0, names).astype(np.int32), len(small)
