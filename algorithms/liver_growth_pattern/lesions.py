"""The metastases of a patient: separated, and measured where they meet the liver.

Around each metastasis the scan is brought to voxels of 1 mm, and its density is taken beside that of the patient's own
liver, so that phase and scanner matter less. There lie three regions, in mm: the core, the inner ring below the surface,
and the outer ring in the liver; and, spread evenly over the surface, patches of the unrolled interface, whose first axis
leads from the metastasis into the liver.

The border of the liver comes from an organ network if there is one; else from density: what is nearly as dense as the liver
around this metastasis. That leaves out fat, lung, gas and bone, but neither muscle nor spleen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, axial_diameters, check_drawn, components, crop, resample_like
from preop.imaging.regions import Box
from preop.imaging.separation import MAX_STRUCTURES
from preop.radiomics import Family, FixedBinSize, Settings, compute_features
from preop.radiomics.filters import LaplacianOfGaussian
from preop.radiomics.regions import depths_mm, distances_mm
from preop.wording import counted

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]

CT, SEGMENTATION = "ct-image", "liver-metastasis-segmentation"

INNER_RING_MM = 3.0
OUTER_RING_MM = 5.0
REGIONS = ("core", "inner_ring", "outer_ring")

SPECK_MM3 = 30.0
"""Smaller parts of a segmentation (a ball of 4 mm) show no interface."""

RAGGED = 0.2
"""A detached part of a label that is larger than this share of its largest one is mentioned."""

NEAR_LIVER_MM = (2.0, 8.0)
"""Shell outside a metastasis in which there has to be liver."""
LIVER_BESIDE_MM = (5.0, 15.0)
"""Shell outside of it whose liver gives the density of this patient's."""
MIN_LIVER_SHARE = 0.2
"""Share of that first shell below which a metastasis does not lie in the liver."""
LIVER_HU = (30.0, 200.0)
"""In which the liver's density is looked for: from unenhanced fatty livers to strong enhancement."""
BELOW_LIVER_HU, ABOVE_LIVER_HU = 40.0, 90.0
"""How much less or more dense than the liver its tissue may be: infiltrated borders, and vessels."""

GRID_MM = (1.0, 1.0, 1.0)
POINTS = 24
"""Patches of a metastasis: they cover the whole surface of a ball of 28 mm."""
PATCH_VOXELS, STEP_MM = 5, 2.0
"""Of a patch along the surface."""
DEPTHS_MM = tuple(range(-7, 11))
"""Distances from the surface at which the interface is looked at."""
MARGIN_MM = 18.0
"""Of the scan around a metastasis: what rings, patches and the liver's own density need."""
WINDOW_HU = 100.0
"""Densities in a patch reach so far below and above the liver's, in 256 steps of less than 1 HU."""
ELSEWHERE, LIVER, OWN, OTHER = range(4)
"""What lies at a place."""

RADIOMICS = Settings(spacing_mm=None, discretisation=FixedBinSize(width=10.0))
"""Voxels are those of 1 mm already; bins are of about the noise."""
FILTERED = Settings(spacing_mm=None, filters=(LaplacianOfGaussian(sigma_mm=1.5),))
"""Bright and dark lines of the width of a capsule."""
MIN_VOXELS = 30
"""A smaller region has no features."""

AIR_HU = -1024.0


@dataclass(frozen=True)
class Lesion:
    """One metastasis.

    Attributes
    ----------
    number
        Its label: the reader's, or by falling size where all have the same.
    centre_mm
        World position (x, y, z) of the voxel of it that is nearest to its centroid.
    long_axis_mm
        Longest diameter in the axial slice where it is largest.
    median_hu
        Its own median density.
    liver_hu
        Median density of the liver around it.
    liver_share
        Part of its close surroundings that is liver.
    cut_by_edge
        Whether it reaches the edge of the scan.
    """

    number: int
    centre_mm: tuple[float, float, float]
    long_axis_mm: float
    volume_ml: float
    median_hu: float
    liver_hu: float
    liver_share: float
    cut_by_edge: bool


@dataclass(frozen=True, eq=False)
class Seen:
    """What the learners are given of a metastasis.

    Attributes
    ----------
    lesion
        What was measured of it.
    features
        Radiomics of core and rings by name, without those that are not defined on it.
    patches
        Of the unrolled interface (points, 2, 18, 5, 5), uint8: density beside the liver's, and how much of a voxel is liver.
    """

    lesion: Lesion
    features: dict[str, float]
    patches: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Lesions:
    """All metastases of a patient that can be judged.

    Attributes
    ----------
    labels
        Number of the metastasis in each of its voxels (int32), 0 elsewhere.
    seen
        In the order of their numbers.
    outside
        Numbers of those that do not lie in the liver, and are not judged.
    notes
        What a reader should know of how they were separated, in sentences.
    not_plausible
        Numbers of those that cannot be metastases, and are not judged.
    """

    labels: Image
    seen: tuple[Seen, ...]
    outside: tuple[int, ...]
    notes: tuple[str, ...]
    not_plausible: tuple[int, ...] = ()

    def without(self, numbers: Iterable[int]) -> Lesions:
        """Leave metastases out that are not plausible; they keep their labels."""
        left_out = set(numbers)
        seen = tuple(each for each in self.seen if each.lesion.number not in left_out)
        return replace(self, seen=seen, not_plausible=tuple(sorted(left_out)))


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A metastasis and what lies around it, on voxels of 1 mm along the patient's axes.

    Attributes
    ----------
    density
        In HU, beside the liver's (float32).
    tissue
        Which of ``ELSEWHERE``, ``LIVER``, ``OWN`` and ``OTHER`` (uint8).
    distance_mm
        To the surface of the metastasis, negative inside.
    liver_hu, liver_share
        As in ``Lesion``.
    """

    density: Image
    tissue: NDArray[np.uint8]
    distance_mm: Floats
    liver_hu: float
    liver_share: float

    def region(self, name: str) -> Mask:
        """Voxels of the core or of a ring; both rings only where metastasis and liver meet."""
        # From voxel to voxel, as in preop.radiomics.regions: half a voxel more than to the surface between them.
        depth, height = 0.5 - self.distance_mm, self.distance_mm + 0.5
        if name == "core":
            return np.asarray((self.tissue == OWN) & (depth > INNER_RING_MM))
        liver = self.tissue == LIVER
        if name == "outer_ring":
            return np.asarray(liver & (height <= OUTER_RING_MM))
        if not liver.any():
            return np.zeros(liver.shape, dtype=bool)
        beside = distances_mm(liver, self.density.spacing_mm) <= INNER_RING_MM + 1
        return np.asarray((self.tissue == OWN) & (depth <= INNER_RING_MM) & beside)


def find_lesions(ct: Image, segmentation: Image, liver: Image | None = None) -> Lesions:
    """Separate the metastases of a segmentation, and measure each.

    Parameters
    ----------
    segmentation
        On the grid of the CT: one number a metastasis, or one number for all; then connected parts are metastases.
    liver
        Mask of the liver with its metastases on the same grid; recognised by density where there is none.

    Raises
    ------
    InvalidInputError
        If it is empty, holds numbers that are no labels, or nothing of it lies in the liver.
    """
    labels, notes = _separated_instances(segmentation)
    seen, outside = [], []
    for number, box in enumerate(ndimage.find_objects(labels.voxels), start=1):
        if box is None:
            continue
        around = surroundings(ct, labels, number, box, liver)
        if around.liver_share < MIN_LIVER_SHARE:
            outside.append(number)
            continue
        lesion = _measured(ct, labels, number, box, around)
        seen.append(Seen(lesion, radiomics_of(around), unroll(around)))
    if not seen:
        raise InvalidInputError(
            f"None of the {counted(len(outside), 'metastasis', 'metastases')} of the {SEGMENTATION} lies in the liver: "
            "there is no tissue of its density around them; check that the segmentation belongs to this CT, and that the "
            "CT is in HU."
        )
    if outside:
        notes.append(
            f"Not assessed, because there is no liver around: {counted(len(outside), 'metastasis', 'metastases')} "
            f"({', '.join(map(str, outside))})."
        )
    if cut := [str(each.lesion.number) for each in seen if each.lesion.cut_by_edge]:
        notes.append(f"At the edge of the scan, and assessed by the part that is seen: {', '.join(cut)}.")
    if liver is None:
        notes.append("Where the liver ends was told by density, for the model holds no organ network.")
    return Lesions(labels, tuple(seen), tuple(outside), tuple(notes))


def surroundings(ct: Image, labels: Image, number: int, box: Box, liver: Image | None) -> Surroundings:
    """Bring a metastasis with its surroundings to voxels of 1 mm.

    Parameters
    ----------
    box
        The smallest box of voxels around it.
    """
    grid = _grid_around(ct.geometry, box)
    part = _box_of(grid, ct.geometry)
    density = resample_like(crop(ct, part), grid, interpolation="linear", outside=AIR_HU)
    numbers = crop(labels, part)
    own = _on_grid(numbers.with_voxels(numbers.voxels == number), grid)
    other = _on_grid(numbers.with_voxels((numbers.voxels > 0) & (numbers.voxels != number)), grid) & ~own
    distance = np.where(own, 0.5 - depths_mm(own, GRID_MM), distances_mm(own, GRID_MM) - 0.5)
    if liver is None:
        tissue = _liver_by_density(density.voxels, own | other, distance)
    else:
        tissue = resample_like(crop(liver, part), grid, interpolation="nearest", outside=0).voxels.astype(bool)
    tissue &= ~(own | other)
    shell = (distance > NEAR_LIVER_MM[0]) & (distance <= NEAR_LIVER_MM[1]) & ~other
    beside = tissue & (distance > LIVER_BESIDE_MM[0]) & (distance <= LIVER_BESIDE_MM[1])
    liver_hu = float(np.median(density.voxels[beside])) if beside.any() else 0.0
    places = np.select([own, other, tissue], [OWN, OTHER, LIVER], ELSEWHERE).astype(np.uint8)
    return Surroundings(
        density=density.with_voxels((density.voxels - np.float32(liver_hu)).astype(np.float32)),
        tissue=places,
        distance_mm=distance,
        liver_hu=liver_hu,
        liver_share=float(tissue[shell].mean()) if shell.any() else 0.0,
    )


def radiomics_of(around: Surroundings) -> dict[str, float]:
    """Intensity and texture by the IBSI standard of core and rings, of the scan and of a filter for fine lines."""
    found = {"log_volume_ml": math.log((around.tissue == OWN).sum() / 1000)}
    for name in REGIONS:
        region = around.region(name)
        if region.sum() < MIN_VOXELS:
            continue
        mask = around.density.with_voxels(region.astype(np.uint8))
        row = compute_features(around.density, mask, RADIOMICS, (Family.STATISTICS, Family.GLCM), threads=1)
        row |= compute_features(around.density, mask, FILTERED, (Family.STATISTICS,), threads=1)
        found |= {f"{name}_{tag}": value for tag, value in row.items() if math.isfinite(value)}
    return found


def unroll(around: Surroundings) -> NDArray[np.uint8]:
    """Unroll the interface around evenly spread points of the surface (points, 2, 18, 5, 5).

    The first axis of a patch is the distance from the drawn surface, from inside out; the others lie along the surface,
    which is followed where it bends. Values are means over 2 mm along the surface: that lowers the noise, and leaves a thin
    capsule as it is.
    """
    points = _spread_points(around)
    smooth = ndimage.gaussian_filter(around.distance_mm, 1.5)
    slope = np.stack(np.gradient(smooth))
    aside = (np.arange(2 * PATCH_VOXELS) - (2 * PATCH_VOXELS - 1) / 2) * (STEP_MM / 2)
    offsets = np.stack(np.meshgrid(aside, aside, indexing="ij"), axis=-1).reshape(-1, 2)
    window = np.clip((around.density.voxels + WINDOW_HU) * (255 / (2 * WINDOW_HU)), 0, 255)
    liver = (around.tissue == LIVER).astype(np.float32)
    patches = np.empty((POINTS, 2, len(DEPTHS_MM), PATCH_VOXELS, PATCH_VOXELS), dtype=np.uint8)
    for patch, point in zip(patches, points, strict=True):
        outwards, *along = _frame_along(slope[(slice(None), *point)])
        flat = (point + offsets @ np.stack(along)).T
        # From the plane that touches the surface down to the surface itself.
        surface = flat - ndimage.map_coordinates(smooth, flat, order=1, mode="nearest") * outwards[:, None]
        places = surface[:, None] + np.array(DEPTHS_MM)[:, None] * outwards[:, None, None]
        patch[0] = _mean_of_pairs(ndimage.map_coordinates(window, places, order=1, mode="constant"))
        patch[1] = _mean_of_pairs(255 * ndimage.map_coordinates(liver, places, order=1, mode="constant"))
    return patches


def _mean_of_pairs(values: Floats) -> Floats:
    """Mean over two by two places along the surface, of values (depths, places)."""
    return np.asarray(np.rint(values.reshape(-1, PATCH_VOXELS, 2, PATCH_VOXELS, 2).mean(axis=(2, 4))))


def _spread_points(around: Surroundings) -> NDArray[np.intp]:
    """Voxels of the surface (points, 3) beside the liver, each as far as can be from those before it."""
    surface = (around.tissue == OWN) & (around.distance_mm > -1)
    beside = surface & ndimage.binary_dilation(around.tissue == LIVER, iterations=2)
    candidates = np.argwhere(beside if beside.any() else surface)
    chosen = [0]
    apart = np.linalg.norm(candidates - candidates[0], axis=1)
    for _ in range(POINTS - 1):
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(candidates - candidates[chosen[-1]], axis=1))
    return np.asarray(candidates[chosen])


def _frame_along(outwards: Floats) -> Floats:
    """Three directions (3, 3), one a row: outwards, and two along the surface."""
    length = float(np.linalg.norm(outwards))
    first = outwards / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])
    aside = np.eye(3)[np.abs(first).argmin()]
    second = np.cross(first, aside)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def _liver_by_density(density: Floats, lesions: Mask, distance_mm: Floats) -> Mask:
    """Tissue around a metastasis that is about as dense as most of it there."""
    smooth = ndimage.gaussian_filter(density, 1.5)
    shell = (distance_mm > LIVER_BESIDE_MM[0]) & (distance_mm <= LIVER_BESIDE_MM[1]) & ~lesions
    values = smooth[shell & (smooth > LIVER_HU[0]) & (smooth < LIVER_HU[1])]
    if not values.size:
        return np.zeros(density.shape, dtype=bool)
    counts, edges = np.histogram(values, bins=np.arange(LIVER_HU[0], LIVER_HU[1] + 5, 5))
    commonest = float(edges[ndimage.gaussian_filter1d(counts.astype(float), 1.5).argmax()] + 2.5)
    return np.asarray((smooth > commonest - BELOW_LIVER_HU) & (smooth < commonest + ABOVE_LIVER_HU))


def _measured(ct: Image, labels: Image, number: int, box: Box, around: Surroundings) -> Lesion:
    part = crop(labels, box)
    mask = part.voxels == number
    inside = np.argwhere(mask)
    nearest = inside[np.linalg.norm((inside - inside.mean(0)) * part.spacing_mm, axis=1).argmin()]
    x, y, z = part.geometry.world_mm(nearest[None])[0].tolist()
    return Lesion(
        number=number,
        centre_mm=(x, y, z),
        long_axis_mm=axial_diameters(part.with_voxels(mask)).long_axis_mm,
        volume_ml=len(inside) * part.geometry.voxel_volume_mm3 / 1000,
        median_hu=float(np.median(crop(ct, box).voxels[mask])),
        liver_hu=around.liver_hu,
        liver_share=around.liver_share,
        cut_by_edge=any(side.start == 0 or side.stop == size for side, size in zip(box, ct.shape, strict=True)),
    )


def _separated_instances(segmentation: Image) -> tuple[Image, list[str]]:
    """Give each metastasis a number of its own, and say what was done to the segmentation."""
    values = segmentation.voxels
    if not values.any():
        raise InvalidInputError(
            f"The {SEGMENTATION} is empty: not one metastasis is segmented, so there is nothing to assess; segment them "
            "first."
        )
    check_drawn(segmentation, name=SEGMENTATION, structure="metastasis")
    labels = values.astype(np.int32)
    notes = []
    if len(np.unique(labels[labels > 0])) == 1:
        parts, count = components(segmentation)
        labels = parts.voxels if count > 1 else labels  # one metastasis keeps its number
    elif detached := _detached(segmentation.with_voxels(labels)):
        notes.append(
            f"Labels in several large parts, each taken as one metastasis: {', '.join(map(str, detached))}; where the parts "
            "are separate metastases, give each a label of its own."
        )
    voxel_mm3 = segmentation.geometry.voxel_volume_mm3
    volumes = np.bincount(labels.ravel()) * voxel_mm3
    small = np.flatnonzero((volumes > 0) & (volumes < max(SPECK_MM3, 1.5 * voxel_mm3)))
    if len(small):
        what = counted(len(small), "part")
        notes.append(
            f"{what} of the segmentation excluded: under {SPECK_MM3:g} mm3 or of one voxel, too small to assess."
        )
        labels = np.where(np.isin(labels, small), 0, labels)
    if (count := len(np.unique(labels[labels > 0]))) > MAX_STRUCTURES:
        raise InvalidInputError(
            f"The {SEGMENTATION} holds {count:,} metastases; expected at most {MAX_STRUCTURES}: is it noise, or that of another scan?"
        )
    if not labels.any():
        raise InvalidInputError(
            f"The {SEGMENTATION} holds nothing larger than {SPECK_MM3:g} mm3, or than one voxel: no metastasis is "
            "large enough to show an interface with the liver."
        )
    return segmentation.with_voxels(labels), notes


def _detached(labels: Image) -> list[int]:
    """Labels of which a large part lies apart from the largest."""
    found = []
    for number, box in enumerate(ndimage.find_objects(labels.voxels), start=1):
        if box is None:
            continue
        parts, count = components(crop(labels, box).with_voxels(labels.voxels[box] == number))
        sizes = np.bincount(parts.voxels.ravel(), minlength=count + 1)[1:]
        if count > 1 and sizes[1] > RAGGED * sizes[0]:
            found.append(number)
    return found


def _on_grid(mask: Image, grid: Geometry) -> Mask:
    """Bring a mask to a grid: where it covers half a voxel, or the nearest voxels where that leaves nothing."""
    if not mask.voxels.any():
        return np.zeros(grid.shape, dtype=bool)
    cover = resample_like(
        mask.with_voxels(mask.voxels.astype(np.float32)), grid, interpolation="linear", outside=0.0
    ).voxels
    found = cover >= 0.5
    return np.asarray(found if found.any() else cover >= max(0.5 * cover.max(), 1e-6))


def _grid_around(scan: Geometry, box: Box) -> Geometry:
    """Voxels of 1 mm along the patient's axes around a box of a scan, however that is stored."""
    corners = _corners([(part.start - 0.5, part.stop - 0.5) for part in box])
    places = scan.world_mm(corners)
    low, high = places.min(axis=0) - MARGIN_MM, places.max(axis=0) + MARGIN_MM
    shape = np.ceil((high - low)[::-1] / np.array(GRID_MM)).astype(int)
    x, y, z = low.tolist()
    return Geometry.axis_aligned(tuple(shape.tolist()), GRID_MM, (x, y, z))


def _box_of(grid: Geometry, scan: Geometry) -> Box:
    """Voxels of a scan that a grid needs, and one more on each side."""
    places = scan.index_zyx(grid.world_mm(_corners([(0, size - 1) for size in grid.shape])))
    last_voxel = np.array(scan.shape) - 1
    first = np.clip(np.floor(places.min(0)).astype(int) - 1, 0, last_voxel)
    last = np.clip(np.ceil(places.max(0)).astype(int) + 1, 0, last_voxel)
    return tuple(slice(int(start), int(stop) + 1) for start, stop in zip(first, last, strict=True))


def _corners(sides: Sequence[tuple[float, float]]) -> Floats:
    return np.array(np.meshgrid(*sides)).reshape(3, -1).T
