"""The lymph nodes of a patient: separated, measured as radiologists do, and cut out of the CT.

Size: short axis in the axial slice where the node is largest (RECIST 1.1). The clinical rule calls a patient positive
where any pelvic node has a short axis over 8 mm, the lower of the limits in use (8 to 10 mm).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preop.anatomy import midline_mm
from preop.errors import InvalidInputError
from preop.imaging import (
    SPECK_MM3,
    Geometry,
    Image,
    axial_axis,
    axial_diameters,
    crop,
    resample_like,
    separate_instances,
)
from preop.radiomics import FixedBinSize, Settings, compute_features
from preop.stored_features import StoredFeatures

Box = tuple[slice, ...]

CT, SEGMENTATION, FEATURES = "ct-image", "lymph-node-segmentation", "lymph-node-features"

SIZE_RULE_MM = 8.0
"""Short axis above which a node is suspicious to clinicians."""

MIDLINE_MM = 5.0
"""A node this near to the middle of the body is on neither side."""

AROUND_MM = 2.5
"""How far around a node its fat is measured: where extranodal extension would show."""

BEYOND_MM = (3.0, 6.0)
"""How far from a node its fat is measured for comparison: beyond what a node infiltrates."""

CLEAR_OF_NEIGHBOURS_MM = 2.0
"""So far from other nodes; nearer, blur makes fat denser."""

FEWEST_VOXELS = 8
"""Of fat, for a percentile of it."""

BLUR_MM = 0.6
"""Standard deviation of the point spread function in the slice: 1.4 mm at half maximum, usual for soft tissue kernels."""

BLURRED_RIM_MM = 1.2
"""So far outside of its outline a node adds to the density."""

LEAST_CONTRAST_HU = 50.0
"""Between a node and fat, for the density of a voxel to say how much of it is node."""

LEAST_AXIS_MM = 1.0
"""An axis is never taken as shorter: below, noise decides."""

RADIOMICS = Settings(spacing_mm=(1.0, 1.0, 1.0), discretisation=FixedBinSize(width=10.0))
"""Nodes are small: voxels of 1 mm, and bins of about the noise."""

RADIOMICS_MARGIN_MM = 5.0
"""Around a node, for interpolation."""

CUBE_VOXELS = 48
CUBE_SPACING_MM = 1.0
WINDOW_HU = (-160.0, 240.0)
"""Soft tissue and contrast; stored in 256 steps of 1.6 HU, well below the noise of any scan."""

OWN, NEIGHBOUR = 1, 2
"""In the second channel of a cube: the node itself, and other nodes."""

AIR_HU = -1024.0

MEASURED = {"axial": 6, "spatial": 10}
"""Number of measures of a node (``measures_of``)."""


CORE_MM = 1.5
"""The core of a node lies so far inside its outline: nearer, voxels are part fat."""

FEWEST_CORE_VOXELS = 20
"""Of a core, to say anything of its parts."""

FAT_HU = -20.0
"""Fat blurred with as much node lies below, and what is not fat above."""

NECROSIS_BELOW_HU = 40.0
"""What is so much less dense than the node's 90th percentile, and no fat, is necrosis: over twice the noise."""


@dataclass(frozen=True)
class Core:
    """What lies inside of a node: the parts of its core that are fat, and necrosis."""

    fatty: float
    necrotic: float


@dataclass(frozen=True)
class LymphNode:
    """One node.

    Attributes
    ----------
    number
        Its label: the reader's, or by falling size where all nodes have the same.
    box
        The smallest box of voxels around it.
    centre_mm
        World position (x, y, z) of the voxel of the node that is nearest to its centroid.
    outlined_ml
        Volume of the connected outline that it is a part of: its own, unless it touches other nodes.
    side
        left, right, or midline, of the patient; unknown where the scan does not show where the midline is.
    median_hu
        Its median density.
    p90_hu
        90th percentile of its density: fat in the hilum, necrosis and the blurred rim have no part in it.
    p10_hu
        10th percentile of its density: low with a fatty hilum or a necrosis.
    fat_around_hu
        25th percentile of the density around it: that of the fat, beside vessels and muscle too; infiltrated, it is
        higher. Not a number where nothing but other nodes is around.
    fat_beyond_hu
        The same, 3 to 6 mm away and clear of other nodes: what the fat around it would be if nothing infiltrated it.
    axes_mm
        Shortest, middle and longest axis in space, of the ellipsoid with the same second moments. A voxel counts by how
        much of it is node, told from its density between that of fat and of the node, so that neither blur nor a hand that
        draws too wide makes a node longer.
    core
        What lies inside; None in a node too small to tell.
    cut_by_edge
        Whether it reaches the edge of the scan, so that it may be larger.
    """

    number: int
    box: Box
    centre_mm: tuple[float, float, float]
    short_axis_mm: float
    long_axis_mm: float
    volume_ml: float
    outlined_ml: float
    side: str
    median_hu: float
    p90_hu: float
    p10_hu: float
    fat_around_hu: float
    fat_beyond_hu: float
    axes_mm: tuple[float, float, float]
    core: Core | None
    cut_by_edge: bool

    @property
    def suspicious_by_size(self) -> bool:
        """What the clinical rule says of it."""
        return self.short_axis_mm > SIZE_RULE_MM


@dataclass(frozen=True)
class LymphNodes:
    """All nodes of a patient, or some of them.

    Attributes
    ----------
    labels
        Number of the node in each of its voxels (int32), 0 elsewhere.
    nodes
        In the order of their numbers.
    notes
        What a reader should know of how they were separated, in sentences.
    """

    labels: Image
    nodes: tuple[LymphNode, ...]
    notes: tuple[str, ...]

    def without(self, numbers: Iterable[int]) -> LymphNodes:
        """Leave nodes out, also from the labels."""
        left_out = set(numbers)
        if not left_out:
            return self
        labels = np.where(np.isin(self.labels.voxels, [*left_out]), 0, self.labels.voxels)
        nodes = tuple(node for node in self.nodes if node.number not in left_out)
        return LymphNodes(self.labels.with_voxels(labels.astype(np.int32)), nodes, self.notes)


def find_lymph_nodes(ct: Image, segmentation: Image) -> LymphNodes:
    """Separate the nodes of a segmentation, and measure each.

    Parameters
    ----------
    segmentation
        On the grid of the CT: one number a node, or one number for all; then connected parts are nodes, and those that
        touch are split at their waist.

    Raises
    ------
    InvalidInputError
        If it is empty, or holds numbers that are no labels.
    """
    labels, notes = _separated_instances(segmentation)
    boxes = ndimage.find_objects(labels.voxels)
    middle_mm, outlined_ml = midline_mm(ct), _outlined_ml(labels)
    nodes = tuple(
        _measured(number, labels, ct, box, middle_mm, outlined_ml)
        for number, box in enumerate(boxes, start=1)
        if box is not None
    )
    if cut := [str(node.number) for node in nodes if node.cut_by_edge]:
        cut_nodes = f"Node {cut[0]} is" if len(cut) == 1 else f"Nodes {', '.join(cut)} are"
        notes.append(f"{cut_nodes} cut off by the edge of the scan and may be larger than measured.")
    return LymphNodes(labels, nodes, tuple(notes))


def cut_cubes(ct: Image, nodes: LymphNodes) -> NDArray[np.uint8]:
    """Cut a cube of 48 mm at 1 mm around each node, along the patient's axes, however the scan is stored.

    Returns
    -------
    (nodes, 2, 48, 48, 48): the CT, with the window of soft tissue spread over 0 to 255; and 1 in the node, 2 in others.
    """
    cubes = np.empty((len(nodes.nodes), 2, *(CUBE_VOXELS,) * 3), dtype=np.uint8)
    for cube, node in zip(cubes, nodes.nodes, strict=True):
        grid = _cube_around(node.centre_mm)
        box = _box_of(grid, ct.geometry)
        density = resample_like(crop(ct, box), grid, interpolation="linear", outside=AIR_HU).voxels
        numbers = resample_like(crop(nodes.labels, box), grid, interpolation="nearest", outside=0).voxels
        low, high = WINDOW_HU
        cube[0] = np.clip((density - low) * (255 / (high - low)), 0, 255).round()
        cube[1] = np.where(numbers == node.number, OWN, np.where(numbers > 0, NEIGHBOUR, 0))
    return cubes


def measures_of(nodes: Sequence[LymphNode], measures: str = "axial") -> NDArray[np.float32]:
    """What a radiologist would measure of each node.

    Parameters
    ----------
    measures
        ``axial``: what is measured in slices, (nodes, 6): short axis in mm, volume in ml, long axis as a multiple of the
        short one, 90th and 10th percentile of the density and density of the fat around, in HU. ``spatial``: these, the
        shortest, middle and longest axis in space in mm, and the density of the fat beyond in HU, (nodes, 10).
    """
    rows = [
        (
            node.short_axis_mm,
            node.volume_ml,
            node.long_axis_mm / node.short_axis_mm,
            node.p90_hu,
            node.p10_hu,
            node.fat_around_hu,
            *((*node.axes_mm, node.fat_beyond_hu) if measures == "spatial" else ()),
        )
        for node in nodes
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, MEASURED[measures])


def check_features(features: StoredFeatures, segmentation: Image, nodes: LymphNodes) -> None:
    """Refuse features that are not those of the nodes of a segmentation, a row for each.

    Raises
    ------
    InvalidInputError
        If their labels are not those of the segmentation, or a node has none of its own there.
    """
    drawn = np.unique(segmentation.voxels[segmentation.voxels != 0]).astype(int).tolist()
    numbers = [node.number for node in nodes.nodes]
    if unnamed := [number for number in numbers if number not in drawn]:
        raise InvalidInputError(
            f"The {SEGMENTATION} has {len(drawn)} labels for {len(nodes.nodes)} lymph nodes, and features belong to labels: give "
            f"each node a label of its own (the first without one is node {unnamed[0]})."
        )
    features.check_labels(numbers, drawn, segmentation=SEGMENTATION, structure="lymph node")


def radiomics_of(ct: Image, nodes: LymphNodes) -> list[dict[str, float]]:
    """Radiomics features of each node by the IBSI standard; without those that are not defined on so small a region."""
    rows = []
    for node in nodes.nodes:
        box = _widened(node.box, ct, RADIOMICS_MARGIN_MM)
        rows.append(_features(crop(ct, box), crop(nodes.labels, box), node.number))
    return rows


def _separated_instances(segmentation: Image) -> tuple[Image, list[str]]:
    """Give each node a number of its own, and say what was done to the segmentation."""
    labels, notes = separate_instances(segmentation, name=SEGMENTATION, structure="node")
    if labels.voxels.any():
        return labels, notes
    if segmentation.voxels.any():
        raise InvalidInputError(
            f"The {SEGMENTATION} holds nothing larger than {SPECK_MM3:g} mm3: no lymph node is segmented."
        )
    raise InvalidInputError(
        f"The {SEGMENTATION} is empty: no lymph node is segmented, and without nodes there is no prediction; segment them "
        "first."
    )


def _outlined_ml(labels: Image) -> NDArray[np.float64]:
    """Volume of the connected outline that each voxel is a part of, (z, y, x)."""
    parts, _ = ndimage.label(labels.voxels > 0)
    return np.asarray(np.bincount(parts.ravel())[parts] * (labels.geometry.voxel_volume_mm3 / 1000))


def _measured(
    number: int, labels: Image, ct: Image, box: Box, middle_mm: float | None, outlined_ml: NDArray[np.float64]
) -> LymphNode:
    """Measure one node, whose voxels lie in a box."""
    drawn, density = crop(labels, box), crop(ct, box)
    mask = drawn.voxels == number
    inside = np.argwhere(mask)
    nearest = inside[np.linalg.norm((inside - inside.mean(0)) * ct.spacing_mm, axis=1).argmin()]
    x, y, z = drawn.geometry.world_mm(nearest[None])[0].tolist()
    diameters = axial_diameters(drawn.with_voxels(mask))
    p10_hu, median_hu, p90_hu = np.percentile(density.voxels[mask], (10, 50, 90)).tolist()
    around = _around(number, labels, ct, box)
    fat_around_hu, fat_beyond_hu = around.fat_hu(), around.fat_beyond_hu()
    fat_hu = fat_around_hu if math.isnan(fat_beyond_hu) else fat_beyond_hu
    return LymphNode(
        number=number,
        box=box,
        centre_mm=(x, y, z),
        short_axis_mm=diameters.short_axis_mm,
        long_axis_mm=diameters.long_axis_mm,
        volume_ml=len(inside) * ct.geometry.voxel_volume_mm3 / 1000,
        outlined_ml=float(outlined_ml[box][tuple(nearest)]),
        side=_side(x, middle_mm),
        median_hu=median_hu,
        p90_hu=p90_hu,
        p10_hu=p10_hu,
        fat_around_hu=fat_around_hu,
        fat_beyond_hu=fat_beyond_hu,
        axes_mm=around.axes_mm(p90_hu, fat_hu),
        core=_core(density, mask, p90_hu),
        cut_by_edge=any(part.start == 0 or part.stop == size for part, size in zip(box, ct.shape, strict=True)),
    )


def _core(density: Image, mask: NDArray[np.bool_], p90_hu: float) -> Core | None:
    depth_mm = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=density.spacing_mm)[1:-1, 1:-1, 1:-1]
    inside = density.voxels[depth_mm > CORE_MM]
    if len(inside) < FEWEST_CORE_VOXELS:
        return None
    fatty = inside < FAT_HU
    return Core(float(fatty.mean()), float((~fatty & (inside < p90_hu - NECROSIS_BELOW_HU)).mean()))


@dataclass(frozen=True, eq=False)
class _Around:
    """A node and its surroundings (z, y, x).

    Attributes
    ----------
    density
        In HU.
    outside_mm, neighbours_mm
        Distance from the node, 0 inside; and from other nodes, infinite where there are none.
    """

    density: Image
    outside_mm: NDArray[np.float64]
    neighbours_mm: NDArray[np.float64]

    def fat_hu(self) -> float:
        """Density of the fat next to the node; not a number where there is none."""
        near = self.outside_mm <= max(AROUND_MM, min(self.density.spacing_mm))
        shell = (self.outside_mm > 0) & near & (self.neighbours_mm > 0)
        return float(np.percentile(self.density.voxels[shell], 25)) if shell.any() else math.nan

    def fat_beyond_hu(self) -> float:
        """Density of the fat farther away; not a number where there is too little."""
        low, high = BEYOND_MM
        shell = (self.outside_mm > low) & (self.outside_mm <= high) & (self.neighbours_mm > CLEAR_OF_NEIGHBOURS_MM)
        return float(np.percentile(self.density.voxels[shell], 25)) if shell.sum() >= FEWEST_VOXELS else math.nan

    def axes_mm(self, node_hu: float, fat_hu: float) -> tuple[float, float, float]:
        """Shortest, middle and longest axis in space."""
        reach = (self.outside_mm <= BLURRED_RIM_MM) & (self.neighbours_mm > 0)
        places = np.argwhere(reach) * self.density.spacing_mm
        fat = 0.0 if math.isnan(fat_hu) else fat_hu  # among nothing but nodes, all of it is node
        part = np.clip((self.density.voxels[reach] - fat) / max(node_hu - fat, LEAST_CONTRAST_HU), 0, 1)
        if not part.any():
            part = np.ones(len(places))
        spread = np.cov(places.T, aweights=part, bias=True) if len(places) > 1 else np.zeros((3, 3))
        blurred = [axis != axial_axis(self.density.geometry) for axis in range(3)]
        variances = np.linalg.eigvalsh(spread - np.diag(np.where(blurred, BLUR_MM**2, 0.0)))
        least, middle, greatest = np.maximum(2 * np.sqrt(5 * np.maximum(variances, 0)), LEAST_AXIS_MM).tolist()
        return least, middle, greatest


def _around(number: int, labels: Image, ct: Image, box: Box) -> _Around:
    wide = _widened(box, ct, BEYOND_MM[1])
    drawn = crop(labels, wide).voxels
    others = (drawn != 0) & (drawn != number)
    return _Around(
        crop(ct, wide),
        ndimage.distance_transform_edt(drawn != number, sampling=ct.spacing_mm),
        ndimage.distance_transform_edt(~others, sampling=ct.spacing_mm)
        if others.any()
        else np.full(drawn.shape, np.inf),
    )


def _side(x_mm: float, midline: float | None) -> str:
    """Side of the patient; x of the world grows towards the patient's left."""
    if midline is None:
        return "unknown"
    return "midline" if abs(x_mm - midline) <= MIDLINE_MM else "left" if x_mm > midline else "right"


def _cube_around(centre_mm: tuple[float, float, float]) -> Geometry:
    half = (CUBE_VOXELS - 1) / 2 * CUBE_SPACING_MM
    x, y, z = (coordinate - half for coordinate in centre_mm)
    return Geometry.axis_aligned((CUBE_VOXELS,) * 3, (CUBE_SPACING_MM,) * 3, (x, y, z))


def _box_of(grid: Geometry, scan: Geometry) -> Box:
    """Voxels of a scan that a grid needs, and one more on each side."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape])).reshape(3, -1).T
    places = scan.index_zyx(grid.world_mm(corners))
    first = np.clip(np.floor(places.min(0)).astype(int) - 1, 0, np.array(scan.shape) - 1)
    last = np.clip(np.ceil(places.max(0)).astype(int) + 1, 0, np.array(scan.shape) - 1)
    return tuple(slice(int(start), int(stop) + 1) for start, stop in zip(first, last, strict=True))


def _features(ct: Image, labels: Image, number: int) -> dict[str, float]:
    try:
        found = compute_features(ct, labels.with_voxels(labels.voxels == number), RADIOMICS)
    except InvalidInputError:  # a node thinner than half a voxel of 1 mm vanishes when it is resampled
        return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _widened(box: Box, ct: Image, margin_mm: float) -> Box:
    margins = [math.ceil(margin_mm / spacing) for spacing in ct.spacing_mm]
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, margin, size in zip(box, margins, ct.shape, strict=True)
    )
