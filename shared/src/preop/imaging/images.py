"""Images in physical space.

Arrays are (z, y, x) in memory and so are shapes and spacings here; positions are world coordinates (x, y, z) in mm,
in the patient's LPS system that DICOM and ITK use. This package is the only place where the two orders meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError

Voxels = NDArray[Any]

# Two headers of one scan differ by rounding when they went through different programs.
SPACING_TOLERANCE_MM = 1e-3
POSITION_TOLERANCE_MM = 1e-2
DIRECTION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an image lie.

    Attributes
    ----------
    shape
        Number of voxels, (z, y, x), or (y, x) of a flat image.
    spacing_mm
        Distance between voxel centres in mm, in the order of ``shape``.
    origin_mm
        World position of the centre of the first voxel, (x, y, z) or (x, y).
    direction
        Row-major direction cosines; column *i* is the world direction of axis *i* in x, y, z order.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    def __post_init__(self) -> None:
        n = len(self.shape)
        if n not in (2, 3):
            raise InvalidInputError(f"An image has {n} dimensions; expected 2 or 3.")
        if not (len(self.spacing_mm) == len(self.origin_mm) == n and len(self.direction) == n * n):
            raise InvalidInputError(f"A geometry with shape {self.shape} has parts of another dimension: {self}.")
        if not all(s > 0 for s in self.spacing_mm):
            raise InvalidInputError(f"The voxel spacing is {self.spacing_mm} mm; expected positive numbers.")

    @classmethod
    def axis_aligned(
        cls,
        shape: tuple[int, ...],
        spacing_mm: tuple[float, ...],
        origin_mm: tuple[float, ...] | None = None,
    ) -> Geometry:
        """Make a geometry whose axes run along the world's; the origin is 0 where none is given."""
        n = len(shape)
        return cls(shape, spacing_mm, origin_mm or (0.0,) * n, tuple(np.eye(n).ravel().tolist()))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3 (area in mm2 of a flat image)."""
        return float(np.prod(self.spacing_mm))

    def world_mm(self, index_zyx: NDArray[Any]) -> NDArray[np.float64]:
        """World positions (n, 3) in x, y, z order of fractional voxel indices (n, 3) in z, y, x order."""
        n = len(self.shape)
        scaled = np.atleast_2d(index_zyx)[:, ::-1] * np.asarray(self.spacing_mm)[::-1]
        return np.asarray(scaled @ np.reshape(self.direction, (n, n)).T + np.asarray(self.origin_mm))

    def index_zyx(self, world_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Fractional voxel indices (n, 3) in z, y, x order of world positions (n, 3) in x, y, z order."""
        n = len(self.shape)
        offset = np.atleast_2d(world_mm) - np.asarray(self.origin_mm)
        scaled = np.linalg.solve(np.reshape(self.direction, (n, n)), offset.T).T
        return np.asarray((scaled / np.asarray(self.spacing_mm)[::-1])[:, ::-1])

    def difference(self, other: Geometry) -> str | None:
        """Say in a few words how ``other`` differs, or give None where both are the same grid."""
        if self.shape != other.shape:
            return f"size {_times(other.shape)} against {_times(self.shape)} voxels"
        if not np.allclose(self.spacing_mm, other.spacing_mm, rtol=0, atol=SPACING_TOLERANCE_MM):
            return f"spacing {_times(other.spacing_mm)} against {_times(self.spacing_mm)} mm"
        if not np.allclose(self.origin_mm, other.origin_mm, rtol=0, atol=POSITION_TOLERANCE_MM):
            return f"origin {_point(other.origin_mm)} against {_point(self.origin_mm)} mm"
        if not np.allclose(self.direction, other.direction, rtol=0, atol=DIRECTION_TOLERANCE):
            return "another direction of its axes"
        return None


@dataclass(frozen=True, eq=False)
class Image:
    """Voxels with their place in the world.

    Attributes
    ----------
    voxels
        Array (z, y, x), or (y, x) of a flat image; booleans for a mask, integers for a label map.
    geometry
        Where they lie; its shape is the array's.
    notes
        What was corrected or left out when it was read from a file, in sentences; they end there, and are not handed on.
    """

    voxels: Voxels
    geometry: Geometry
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise InvalidInputError(
                f"An array of shape {self.voxels.shape} does not fit a geometry of shape {self.geometry.shape}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels, (z, y, x) or (y, x)."""
        return self.geometry.shape

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between voxel centres in mm, (z, y, x) or (y, x)."""
        return self.geometry.spacing_mm

    def with_voxels(self, voxels: Voxels) -> Image:
        """Make an image of other voxels in the same place."""
        return Image(voxels, self.geometry)


def _times(numbers: tuple[float, ...]) -> str:
    """Write sizes in the order that viewers show, x first."""
    return " x ".join(f"{number:g}" for number in reversed(numbers))


def _point(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"
