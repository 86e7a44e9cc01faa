"""Where the tumour lies on a tissue map: its bed, its invasive front, how rough that is, and outlines for a viewer.

The bed is looked at in blocks of about 32 micrometres, for which a slide of any size has few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .definitions import STROMA, UM2_PER_MM2, TissueLabel
from .findings import TissueMap

Mask = NDArray[np.bool_]

BLOCK_UM = 32.0
BED = (TissueLabel.TUMOUR, *STROMA.values(), TissueLabel.MUCUS, TissueLabel.NECROSIS)
HOST = (TissueLabel.MUSCLE, TissueLabel.FAT, TissueLabel.LYMPHOID)

MIN_BED_MM2 = 0.1
_MIN_PART_OF_LARGEST = 0.05
_MIN_TUMOUR = 0.05  # of a bed: stroma alone is a scar, or the submucosa
_NEXT_TO_UM = 400.0  # wider than a fold, or a lane that the scanner did not focus
_FACING_UM = 100.0  # from the front to the host's tissue
_SMOOTHING_UM = 150.0  # standard deviation: half the width of a usual tongue of tumour
_AROUND_FRONT_UM = 500.0
_ARTEFACT_UM = 250.0  # beside what was left out, smoothing bends the front
_OUTLINE_STEP = 3  # in blocks


@dataclass(frozen=True, eq=False)
class TumourBed:
    """The region that the tumour takes up, in blocks.

    Attributes
    ----------
    mask
        Blocks of it (y, x).
    to_front_um
        Distance of each block to the invasive front, the part of the bed's edge that faces muscle, fat or lymphoid tissue;
        infinite where the slide shows none.
    roughness_um
        Mean distance between the front and the same front smoothed; NaN without a front.
    block_um, origin_um
        Side of a block, and upper left corner of the first (y, x).
    """

    mask: Mask
    to_front_um: NDArray[np.float32]
    roughness_um: float
    block_um: float
    origin_um: tuple[float, float]

    @property
    def has_front(self) -> bool:
        """Whether the slide shows an invasive front."""
        return bool(np.isfinite(self.to_front_um).any())

    @property
    def area_mm2(self) -> float:
        """Area of the bed."""
        return float(self.mask.sum() * self.block_um**2 / UM2_PER_MM2)

    def covers(self, points_um: NDArray[np.floating[Any]]) -> Mask:
        """Say which points, y and x (n, 2), lie in the bed."""
        return np.asarray(self._at(self.mask, points_um))

    def front_distance_um(self, points_um: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Distance to the front of the blocks in which points, y and x (n, 2), lie."""
        return np.asarray(self._at(self.to_front_um, points_um))

    def on_map(self, tissue: TissueMap, mask: Mask | None = None) -> Mask:
        """Give the bed, or another mask of blocks, in the pixels of the map that the bed was found on."""
        factor = round(self.block_um / tissue.um_per_pixel)
        height, width = tissue.labels.shape
        blocks = self.mask if mask is None else mask
        return np.asarray(blocks.repeat(factor, axis=0).repeat(factor, axis=1)[:height, :width])

    def outlines_um(self, mask: Mask | None = None, *, max_parts: int = 20) -> list[NDArray[np.float64]]:
        """Outlines of the largest parts of the bed, or of another mask of blocks: vertices y, x (n, 2) of each."""
        loops = outlines(self.mask if mask is None else mask)
        return [loop * self.block_um + self.origin_um for loop in loops[:max_parts]]

    def _at(self, values: NDArray[Any], points_um: NDArray[np.floating[Any]]) -> NDArray[Any]:
        index = ((points_um - np.array(self.origin_um)) / self.block_um).astype(np.intp)
        rows, columns = (index[:, axis].clip(0, side - 1) for axis, side in enumerate(values.shape))
        return np.asarray(values[rows, columns])


def find_bed(tissue: TissueMap) -> TumourBed | None:
    """Find the tumour's bed; None where there is less than 0.1 mm2 of one."""
    from scipy import ndimage

    block_um = block_size(tissue) * tissue.um_per_pixel
    tumour = in_blocks(tissue, TissueLabel.TUMOUR)
    dense = np.pad(in_blocks(tissue, *BED) >= 0.5, 1)
    closed = ndimage.binary_opening(ndimage.binary_closing(dense))[1:-1, 1:-1]
    mask = ndimage.binary_fill_holes(_parts_with_tumour(closed, tumour, block_um))
    if not mask.any():
        return None
    front = _front(mask, in_blocks(tissue, *HOST) >= 0.5, block_um)
    to_front = np.full(mask.shape, np.inf, np.float32)
    if front.any():
        to_front = np.asarray(block_um * ndimage.distance_transform_edt(~front), np.float32)
    # Where the slide was not looked at, at a fold or the section's edge, the bed ends as well; that is no front.
    left_out = (in_blocks(tissue, TissueLabel.BACKGROUND) >= 0.5) & ~mask
    assessable = to_front <= _AROUND_FRONT_UM
    if left_out.any():
        assessable &= block_um * ndimage.distance_transform_edt(~left_out) > _ARTEFACT_UM
    return TumourBed(mask, to_front, _roughness_um(mask, assessable, block_um), block_um, tissue.origin_um)


def block_size(tissue: TissueMap) -> int:
    """Pixels of a map along a block."""
    return max(1, round(BLOCK_UM / tissue.um_per_pixel))


def in_blocks(tissue: TissueMap, *labels: TissueLabel) -> NDArray[np.float64]:
    """Share of each block that has one of the labels."""
    size = block_size(tissue)
    height, width = tissue.labels.shape
    wanted = np.zeros(256, bool)
    wanted[list(labels)] = True
    padded = np.pad(wanted[tissue.labels], [(0, -height % size), (0, -width % size)])
    return np.asarray(padded.reshape(padded.shape[0] // size, size, -1, size).mean(axis=(1, 3)))


def outlines(mask: Mask) -> list[NDArray[np.float64]]:
    """Trace the outer edges of a mask: a closed line, y and x in pixels (n, 2), around each part, the largest first.

    Corners are rounded: a line runs through the middles of the pixels' sides, averaged over five of them.
    """
    next_corners = _sides(mask)
    loops = []
    while next_corners:
        corner = next(iter(next_corners))
        loop = []
        while corner in next_corners:
            loop.append(corner)
            following = next_corners[corner]
            after = following.pop()
            if not following:
                del next_corners[corner]
            corner = after
        loops.append(np.array(loop, np.float64))
    outer = [(area, loop) for loop in loops if (area := _signed_area(loop)) > 0]
    return [_rounded(loop) for _, loop in sorted(outer, key=lambda pair: -pair[0])]


def _parts_with_tumour(mask: Mask, tumour: NDArray[np.float64], block_um: float) -> Mask:
    """Parts that are large and hold tumour, and what else lies next to them, perhaps beyond a fold."""
    from scipy import ndimage

    parts, count = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    share = np.bincount(parts.ravel(), weights=tumour.ravel(), minlength=count + 1) / np.maximum(sizes, 1)
    smallest = max(MIN_BED_MM2 * UM2_PER_MM2 / block_um**2, _MIN_PART_OF_LARGEST * sizes.max())
    certain = (sizes >= smallest) & (share >= _MIN_TUMOUR)
    if not certain.any():
        return np.zeros(mask.shape, bool)
    near = block_um * ndimage.distance_transform_edt(~certain[parts]) <= _NEXT_TO_UM
    joined = certain | (np.bincount(parts.ravel(), weights=near.ravel(), minlength=count + 1) > 0)
    joined[0] = False
    return np.asarray(joined[parts])


def _front(bed: Mask, host: Mask, block_um: float) -> Mask:
    """Blocks of the bed's edge that face the host's tissue, rather than the lumen, the mucosa or the edge of the section."""
    from scipy import ndimage

    if not (host & ~bed).any():
        return np.zeros(bed.shape, bool)
    to_host_um = block_um * ndimage.distance_transform_edt(~(host & ~bed))
    edge = bed & ndimage.binary_dilation(~bed)
    return np.asarray(edge & (to_host_um <= _FACING_UM))


def _roughness_um(bed: Mask, assessable: Mask, block_um: float) -> float:
    """Area between the front and the smoothed one, by its length, in the blocks in which the front can be judged."""
    from scipy import ndimage

    margin = round(3 * _SMOOTHING_UM / block_um)
    padded = np.pad(bed, margin, mode="edge").astype(np.float32)
    smooth = ndimage.gaussian_filter(padded, _SMOOTHING_UM / block_um)[margin:-margin, margin:-margin] > 0.5
    length_um = block_um * float((smooth & ndimage.binary_dilation(~smooth) & assessable).sum())
    between_um2 = block_um**2 * float(((smooth ^ bed) & assessable).sum())
    return between_um2 / length_um if length_um else float("nan")


def _sides(mask: Mask) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Sides of pixels between inside and outside, from corner to corner, the inside on their right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = {  # outside above, right, below, left: where the side begins and ends
        ((0, 0), (0, 1)): padded[:-2, 1:-1],
        ((0, 1), (1, 1)): padded[1:-1, 2:],
        ((1, 1), (1, 0)): padded[2:, 1:-1],
        ((1, 0), (0, 0)): padded[1:-1, :-2],
    }
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (start, end), neighbour in neighbours.items():
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            found.setdefault((row + start[0], column + start[1]), []).append((row + end[0], column + end[1]))
    return found


def _signed_area(loop: NDArray[np.float64]) -> float:
    """Area in a loop, below 0 around a hole."""
    y, x = loop.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _rounded(loop: NDArray[np.float64]) -> NDArray[np.float64]:
    middles = (loop + np.roll(loop, -1, axis=0)) / 2
    averaged = np.mean([np.roll(middles, shift, axis=0) for shift in range(-2, 3)], axis=0)
    return np.asarray(averaged[::_OUTLINE_STEP] if len(averaged) > 4 * _OUTLINE_STEP else averaged)
