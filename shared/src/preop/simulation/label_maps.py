"""Bodies made of label maps, real or simulated: what lies between the labelled organs and around them, bent at random.

A public label map of a real person comes without a CT, and names organs alone. Here the rest of the body is laid around
them: chest wall, fat, and what a cavity holds beside its organs. A random deformation then makes another person of it.
Left stays left: nothing is mirrored, because the liver and the heart have a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, reorient, resample
from preop.simulation.fields import random_field
from preop.simulation.volumes import sample_aligned

FAT, MUSCLE, VEIN, AIRWAY, CAVITY = 201, 202, 203, 204, 205
"""Codes of what has no label: fat; the wall of the trunk; vessels and bronchi; what a cavity holds beside its organs."""

GRID_MM = 3.0
AIR_AROUND_MM = 66.0  # room for fat, breasts, arms and a table

_ARMS = ("humerus",)
_WALL = (
    "rib_",
    "sternum",
    "costal",
    "scapula",
    "clavicula",
    "vertebrae",
    "autochthon",
    "gluteus",
    "hip_",
    "femur",
    "skull",
)

SCALE, TURN_DEGREES, SHEAR = (0.85, 1.17), 6.0, 0.05
BENDS: tuple[tuple[float, tuple[float, float]], ...] = ((110.0, (2.0, 8.0)), (45.0, (0.5, 2.5)))
"""Correlation length of a bend, and the range of its standard deviation, in mm."""


@dataclass(frozen=True, eq=False)
class BodyMap:
    """A body in codes: a map to paint scans from.

    Attributes
    ----------
    tissue
        Labels, and the codes above for what has none; 0 is air (z, y, x; x to the left, y to the back, z to the head).
    outward_mm
        Distance of each voxel from the body as far as the labels show it: where fat is laid on.
    values
        Value of each labelled organ by its name.
    """

    tissue: Image
    outward_mm: NDArray[np.float32]
    values: Mapping[str, int]

    @classmethod
    def around(cls, labels: Image, values: Mapping[str, int]) -> BodyMap:
        """Lay a body around labelled organs.

        Parameters
        ----------
        labels
            Label map of organs, in any orientation.
        values
            Value of each by its name, as TotalSegmentator's task ``total`` names them.

        Raises
        ------
        InvalidInputError
            If no voxel has a label, or one has a value without a name.
        """
        unknown = set(np.unique(labels.voxels).tolist()) - {0} - set(values.values())
        if unknown:
            raise InvalidInputError(
                f"The label map holds the value {min(unknown)}, which has no name; expected the values of "
                "TotalSegmentator's task total."
            )
        if not labels.voxels.any():
            raise InvalidInputError("The label map is empty; expected labelled organs.")
        grid = _with_air(_on_grid(labels))
        inner = [value for name, value in values.items() if not name.startswith((*_WALL, *_ARMS))]
        trunk = [value for name, value in values.items() if not name.startswith(_ARMS)]
        hull = _hulls(np.isin(grid.voxels, trunk))
        cavity = _hulls(np.isin(grid.voxels, inner)) & hull
        tissue = np.where(hull, np.where(cavity, CAVITY, MUSCLE), 0)
        tissue = np.where(grid.voxels > 0, grid.voxels, tissue).astype(np.uint8)
        return cls.of_tissue(grid.with_voxels(tissue), values)

    @classmethod
    def of_tissue(cls, tissue: Image, values: Mapping[str, int]) -> BodyMap:
        """Take a map that has codes for all of a body, on the grid of this module or on another."""
        from scipy import ndimage

        grid = tissue if tissue.spacing_mm == (GRID_MM,) * 3 else _with_air(_on_grid(tissue))
        outward = ndimage.distance_transform_edt(grid.voxels == 0) * GRID_MM
        return cls(grid, outward.astype(np.float32), values)

    def mask(self, *prefixes: str) -> NDArray[np.bool_]:
        """Voxels of all organs whose names begin so."""
        return np.isin(self.tissue.voxels, [value for name, value in self.values.items() if name.startswith(prefixes)])

    def bent(self, rng: np.random.Generator, heights: slice) -> BodyMap:
        """Make another body of this one: scaled, turned, sheared and bent by smooth random fields.

        Parameters
        ----------
        heights
            Slices of this body to keep, as a scan has an upper and a lower end.
        """
        grid = self.tissue.geometry
        shape = (heights.stop - heights.start, *grid.shape[1:])
        window = Geometry.axis_aligned(shape, grid.spacing_mm, (0.0, 0.0, 0.0))
        index = np.indices(shape, dtype=np.float32)
        index[0] += heights.start
        centre = np.array([(heights.start + heights.stop) / 2, shape[1] / 2, shape[2] / 2], dtype=np.float32)
        matrix = _random_matrix(rng)
        sources = np.tensordot(matrix, index - centre[:, None, None, None], 1) + centre[:, None, None, None]
        for correlation, deviations in BENDS:
            deviation = rng.uniform(*deviations) / GRID_MM
            for axis in range(3):
                field = random_field(rng, window, (correlation,) * 3)
                sources[axis] += np.float32(deviation) * sample_aligned(
                    field.voxels, field.geometry, window, averaged_axes=()
                )
        nearest = np.rint(sources).astype(np.int32)
        # Above and below the map its last slice goes on; at its sides it ends in air.
        nearest[0] = np.clip(nearest[0], 0, grid.shape[0] - 1)
        for axis in (1, 2):
            nearest[axis] = np.clip(nearest[axis], 0, grid.shape[axis] - 1)
        taken = tuple(nearest)
        tissue = Image(self.tissue.voxels[taken], window)
        return BodyMap(tissue, self.outward_mm[taken], self.values)


def _random_matrix(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a map of directions (z, y, x) from a new body back to the old one."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", rng.normal(0, TURN_DEGREES, 3), degrees=True).as_matrix()
    shear = np.eye(3) + np.triu(rng.uniform(-SHEAR, SHEAR, (3, 3)), 1)
    size = rng.uniform(*SCALE)
    scale = np.diag(1 / (size * rng.uniform(0.93, 1.07, 3)))
    return np.asarray(turn @ shear @ scale, dtype=np.float32)


def _on_grid(labels: Image) -> Image:
    """Labels at 3 mm along the patient's axes."""
    turned = resample(reorient(labels, "LPS"), (GRID_MM,) * 3, interpolation="nearest")
    grid = Geometry.axis_aligned(turned.shape, (GRID_MM,) * 3, (0.0, 0.0, 0.0))
    return Image(turned.voxels.astype(np.uint8), grid)


def _with_air(labels: Image) -> Image:
    """Add air in front, behind and at both sides of what is labelled, or take it away."""
    rows, columns = (np.flatnonzero(labels.voxels.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    kept = labels.voxels[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = round(AIR_AROUND_MM / GRID_MM)
    padded = np.pad(kept, ((0, 0), (width, width), (width, width)))
    return Image(padded, Geometry.axis_aligned(padded.shape, labels.spacing_mm, (0.0, 0.0, 0.0)))


def _hulls(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Convex hull of each slice, smoothed from slice to slice."""
    from scipy import ndimage
    from scipy.spatial import ConvexHull, QhullError

    hulls = np.zeros(mask.shape, dtype=np.float32)
    place: NDArray[Any] = np.indices(mask.shape[1:]).reshape(2, -1)
    for number, each in enumerate(mask):
        points = np.argwhere(each)
        if len(points) < 3:
            continue
        try:
            edges = ConvexHull(points).equations
        except QhullError:  # all on one line
            continue
        inside = (edges[:, :2] @ place + edges[:, 2:] <= 1e-9).all(axis=0)
        hulls[number] = inside.reshape(mask.shape[1:])
    return np.asarray(ndimage.gaussian_filter(hulls, (2, 1, 1)) > 0.5)
