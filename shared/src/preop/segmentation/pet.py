"""Lesions on FDG-PET by their uptake, without learning: the thresholds in clinical use.

- 41 % of the maximum of each lesion: Boellaard et al. 2015, EANM guideline version 2.0, doi 10.1007/s00259-014-2961-x.
- Fixed SUV 2.5 and 4.0: the thresholds of lung nodules and of lymphoma (Barrington et al. 2021,
  doi 10.2967/jnumed.119.238923).
- Liver: 1.5 x mean + 2 standard deviations in a sphere of 3 cm of the right lobe, Wahl et al. 2009, PERCIST 1.0,
  doi 10.2967/jnumed.108.057307. PERCIST normalises by lean body mass; here the same rule is applied to SUV by body
  weight, lesion and liver alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image, bounding_box, components
from preop.segmentation.organs import Organs

PHYSIOLOGICAL = (
    "brain",
    "heart",
    "liver",
    "spleen",
    "kidney_right",
    "kidney_left",
    "urinary_bladder",
    "stomach",
    "duodenum",
    "small_bowel",
    "colon",
)
"""Classes of TotalSegmentator that take up FDG, or hold it, in health."""

LIVER_SPHERE_MM = 30.0

# The landscape of uptake is smoothed by this much (full width at half maximum) before its peaks are told apart, so
# that noise does not make several of one.
_SMOOTHING_MM = 5.0
_FWHM_PER_STANDARD_DEVIATION = 2 * np.sqrt(2 * np.log(2))

Flat = NDArray[np.intp]


@dataclass(frozen=True)
class FractionOfMaximum:
    """Each lesion down to a fraction of its own maximum.

    Attributes
    ----------
    fraction
        Of the lesion's SUVmax.
    seed_suv
        What a lesion's maximum has to reach.
    floor_suv
        No voxel below this belongs to a lesion: a faint one must not flow into the blood pool.
    """

    fraction: float = 0.41
    seed_suv: float = 2.5
    floor_suv: float = 2.0


@dataclass(frozen=True)
class FixedSuv:
    """Everything from an SUV upwards; touching voxels are one lesion."""

    suv: float


@dataclass(frozen=True)
class LiverBased:
    """Everything from the patient's own liver threshold upwards (:func:`liver_threshold`)."""


Threshold = FractionOfMaximum | FixedSuv | LiverBased


def segment_pet(
    suv: Image,
    threshold: Threshold,
    *,
    organs: Organs | None = None,
    physiological: Sequence[str] = PHYSIOLOGICAL,
    minimum_volume_ml: float = 0.3,
    margin_mm: float = 3.0,
) -> Image:
    """Segment lesions by their uptake.

    Uptake is seen as a landscape. A peak inside an organ of ``physiological``, or up to ``margin_mm`` beside it, is
    physiological with all voxels that slope towards it, so that the blur around a hot organ goes with it while a lesion
    beside the organ, which has a peak of its own, stays. Lesions inside of these organs are not found.

    Parameters
    ----------
    suv
        PET in SUV by body weight (z, y, x); see :func:`preop.imaging.check_suv`.
    threshold
        Which voxels belong to a lesion.
    organs
        Labels on the grid of the PET; without them nothing is taken for physiological.
    physiological
        Names of the organs whose uptake is no lesion.
    minimum_volume_ml
        Smaller lesions are dropped; 0.3 ml is a sphere of 8 mm.
    margin_mm
        How far beside an organ a peak still belongs to it.

    Returns
    -------
    Label map with one label a lesion from 1, the largest first (uint8, or uint16 from 256 lesions).

    Raises
    ------
    InvalidInputError
        If the labels lie on another grid, or the liver threshold is asked for without enough liver.
    """
    difference = suv.geometry.difference(organs.labels.geometry) if organs else None
    if difference:
        raise InvalidInputError(
            f"The organs lie on another grid than the PET ({difference}): resample the labels to it."
        )
    if isinstance(threshold, LiverBased):
        if organs is None:
            raise InvalidInputError("The liver threshold needs the labels of the organs; give them or a fixed SUV.")
        threshold = FixedSuv(liver_threshold(suv, organs))
    lowest = _lowest(threshold)
    landscape = _Landscape.of(suv, lowest)
    if organs is not None:
        landscape.close(organs.mask(*physiological), margin_mm)
    if isinstance(threshold, FixedSuv):
        lesions = components(suv.with_voxels(landscape.open))[0].voxels
    else:
        lesions = landscape.lesions(threshold)
    return suv.with_voxels(_large_first(lesions, minimum_volume_ml * 1000 / suv.geometry.voxel_volume_mm3))


def liver_threshold(suv: Image, organs: Organs) -> float:
    """Threshold of PERCIST: 1.5 x mean + 2 standard deviations of the liver, in SUV.

    Measured in a sphere of 3 cm around the liver's deepest point, which lies in the right lobe.

    Raises
    ------
    InvalidInputError
        If the liver does not hold the sphere: it is missing, or cut off by the field of view.
    """
    from scipy import ndimage

    liver = organs.mask("liver")
    depth_mm = np.zeros(1)
    if liver.any():
        box = bounding_box(liver)
        # One voxel of outside on every side: what the field of view cuts off has no depth there.
        depth_mm = ndimage.distance_transform_edt(np.pad(liver[box], 1), sampling=suv.spacing_mm)[1:-1, 1:-1, 1:-1]
    radius_mm = LIVER_SPHERE_MM / 2
    if depth_mm.max() < radius_mm:
        raise InvalidInputError(
            f"The liver is at most {depth_mm.max():.0f} mm deep in this scan; expected room for a sphere of "
            f"{LIVER_SPHERE_MM:.0f} mm: use a fixed SUV or a fraction of the maximum."
        )
    centre = np.unravel_index(np.argmax(depth_mm), depth_mm.shape)
    offsets = [(np.arange(size) - at) * mm for size, at, mm in zip(depth_mm.shape, centre, suv.spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*offsets, indexing="ij", sparse=True)
    inside = suv.voxels[box][z**2 + y**2 + x**2 <= radius_mm**2].astype(np.float64)
    return float(1.5 * inside.mean() + 2 * inside.std())


def _lowest(threshold: FractionOfMaximum | FixedSuv) -> float:
    if isinstance(threshold, FixedSuv):
        return threshold.suv
    return max(threshold.floor_suv, threshold.fraction * threshold.seed_suv)


@dataclass
class _Landscape:
    """Voxels above a level, and the peak that each of them slopes towards.

    Attributes
    ----------
    suv, open
        PET, and the voxels that may belong to a lesion.
    voxels
        Flat index of each voxel above the level.
    peaks
        Flat index of the peak of each of them.
    """

    suv: Image
    open: NDArray[np.bool_]
    voxels: Flat
    peaks: Flat

    @classmethod
    def of(cls, suv: Image, level: float) -> _Landscape:
        from scipy import ndimage

        above = suv.voxels >= level
        sigma = [_SMOOTHING_MM / _FWHM_PER_STANDARD_DEVIATION / mm for mm in suv.spacing_mm]
        height = ndimage.gaussian_filter(suv.voxels.astype(np.float32), sigma)
        voxels = np.flatnonzero(above)
        return cls(suv, above, voxels, voxels[_climb(voxels, height.ravel()[voxels], suv.shape)])

    def close(self, organ: NDArray[np.bool_], margin_mm: float) -> None:
        """Take out the organ's voxels and all that slopes towards a peak inside it or beside it."""
        tops = np.unique(self.peaks)
        near = np.zeros(len(tops), dtype=bool)
        places = np.stack(np.unravel_index(tops, self.suv.shape), axis=1)
        for offset in _ball(margin_mm, self.suv.spacing_mm):
            there = places + offset
            inside = ((there >= 0) & (there < self.suv.shape)).all(axis=1)
            near[inside] |= organ[tuple(there[inside].T)]
        self.open.ravel()[self.voxels[np.isin(self.peaks, tops[near])]] = False
        self.open &= ~organ

    def lesions(self, threshold: FractionOfMaximum) -> NDArray[np.int32]:
        """Grow each lesion from its hottest voxel, the hottest lesion first; lower peaks inside it are its own."""
        labels = np.zeros(self.suv.shape, dtype=np.int32)
        uptake, is_open, flat_labels = self.suv.voxels.ravel(), self.open.ravel(), labels.ravel()
        basins = [self.voxels[part] for part in _groups(self.peaks)]
        hottest = np.array([part[np.argmax(uptake[part])] for part in basins], dtype=np.intp)
        count = 0
        for seed in hottest[np.argsort(-uptake[hottest], kind="stable")]:
            if uptake[seed] < threshold.seed_suv or not is_open[seed]:
                continue
            level = max(threshold.fraction * uptake[seed], threshold.floor_suv)
            count += 1
            flat_labels[_grow(int(seed), is_open, uptake, level, self.suv.shape)] = count
            for covered in np.flatnonzero(flat_labels[hottest] == count):
                is_open[basins[covered]] = False
        return labels


def _climb(voxels: Flat, height: NDArray[Any], shape: tuple[int, ...]) -> Flat:
    """For each voxel, the position (in ``voxels``) of the peak reached by going to the highest neighbour, and so on."""
    rank = np.empty(len(voxels), dtype=np.intp)
    by_rank = np.argsort(height, kind="stable")  # equal heights: the later voxel is the higher one
    rank[by_rank] = np.arange(len(voxels))
    ranks = np.full(tuple(size + 2 for size in shape), -1, dtype=np.intp)
    places = np.ravel_multi_index([each + 1 for each in np.unravel_index(voxels, shape)], ranks.shape)
    ranks.ravel()[places] = rank
    highest = rank.copy()
    for step in _neighbours(ranks.shape):
        np.maximum(highest, ranks.ravel()[places + step], out=highest)
    goal = by_rank[highest]
    while not np.array_equal(goal, goal[goal]):
        goal = goal[goal]
    return goal


def _grow(seed: int, is_open: NDArray[np.bool_], uptake: NDArray[Any], level: float, shape: tuple[int, ...]) -> Flat:
    """Flat indices of the open voxels with this uptake or more that are connected with the seed, without a look at others."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    front = np.array([seed], dtype=np.intp)
    before = np.empty(0, dtype=np.intp)
    reached = [front]
    while front.size:
        around = (np.stack(np.unravel_index(front, shape), axis=1)[:, None, :] + steps).reshape(-1, 3)
        around = around[((around >= 0) & (around < shape)).all(axis=1)]
        around = np.unique(np.ravel_multi_index(tuple(around.T), shape))
        around = around[is_open[around] & (uptake[around] >= level)]
        # A neighbour of the front was reached with it, with the one before it, or never.
        before, front = front, np.setdiff1d(around, np.concatenate([front, before]), assume_unique=True)
        reached.append(front)
    return np.concatenate(reached)


def _groups(keys: Flat) -> Iterator[Flat]:
    """Positions of each key."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for start, stop in itertools.pairwise([*starts.tolist(), len(keys)]):
        yield order[start:stop]


def _neighbours(shape: tuple[int, ...]) -> list[int]:
    """Steps in a flat array to the 26 neighbours of a voxel."""
    _, rows, columns = shape
    return [
        (z * rows + y) * columns + x for z, y, x in itertools.product((-1, 0, 1), repeat=3) if (z, y, x) != (0, 0, 0)
    ]


def _ball(radius_mm: float, spacing_mm: tuple[float, ...]) -> NDArray[np.intp]:
    """Offsets (n, 3) of the voxels whose centres are at most this far away."""
    reach = [int(radius_mm // mm) for mm in spacing_mm]
    offsets = np.array(list(itertools.product(*(range(-each, each + 1) for each in reach))))
    near: NDArray[np.intp] = offsets[np.linalg.norm(offsets * spacing_mm, axis=1) <= radius_mm + 1e-6]
    return near


def _large_first(labels: NDArray[Any], min_voxels: float) -> NDArray[Any]:
    """Drop small lesions and number the others by their size."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = [label for label in np.argsort(-sizes, kind="stable") if label and sizes[label] >= max(min_voxels, 1)]
    numbers = np.zeros(len(sizes), dtype=np.uint8 if len(kept) < 256 else np.uint16)
    numbers[kept] = np.arange(1, len(kept) + 1)
    numbered: NDArray[Any] = numbers[labels]
    return numbered
