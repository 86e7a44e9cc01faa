"""Laws kernels (IBSI-2 reference manual, section "Laws kernels")."""

from __future__ import annotations

import math
import re
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from preop.imaging import Image
from preop.imaging.regions import Box
from preop.radiomics.filters.base import BaseFilter, Pooling, Rows, Voxels, reach_of_taps
from preop.radiomics.filters.separable import Kernel, convolve, pooled_response, rotations

_KERNELS: dict[str, tuple[int, ...]] = {
    "L3": (1, 2, 1),
    "L5": (1, 4, 6, 4, 1),
    "E3": (-1, 0, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S3": (-1, 2, -1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}


class Laws(BaseFilter):
    """Products of one-dimensional kernels for level (L), edge (E), spot (S), wave (W) and ripple (R)."""

    kind: Literal["laws"] = "laws"
    kernels: str = Field(
        default="L5E5E5",
        pattern=rf"^({'|'.join(_KERNELS)}){{2,3}}$",
        description="Kernels along x, y and z, such as L5E5E5; two of them by slice.",
    )
    rotation_invariant: bool = Field(default=True, description="Pool over all rotations by right angles.")
    pooling: Pooling = Field(default="max", description="How responses of rotations become one.")
    energy_distance_voxels: int | None = Field(
        default=7,
        ge=1,
        description="Mean absolute response within so many voxels (Chebyshev distance); null for the response itself.",
    )

    @model_validator(mode="after")
    def _one_kernel_an_axis(self) -> Self:
        if len(self._per_axis) != len(self.axes):
            raise ValueError(f"kernels ({self.kernels}) must name {len(self.axes)} kernels, one for each filtered axis")
        return self

    @property
    def name(self) -> str:
        """Such as ``laws_L5E5E5_energy_7_invariant``."""
        energy = f"_energy_{self.energy_distance_voxels}" if self.energy_distance_voxels else ""
        return f"laws_{self.kernels}{energy}{'_invariant' if self.rotation_invariant else ''}{self._suffix}"

    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:
        """Half the kernel, and the neighbourhood of the energy."""
        return reach_of_taps(5 + 2 * (self.energy_distance_voxels or 0), spacing_mm)

    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:  # noqa: ARG002
        """Compute the part of the response map of a three-dimensional image that lies in a box."""
        orientation = tuple((_normalised(name),) for name in reversed(self._per_axis))
        orientations = rotations(orientation) if self.rotation_invariant else [orientation]
        if self.energy_distance_voxels is None:
            return pooled_response(image.voxels, orientations, self.axes, self.boundary, self.pooling, box)
        whole = tuple(slice(0, n) for n in image.shape)
        response = pooled_response(image.voxels, orientations, self.axes, self.boundary, self.pooling, whole)
        return self._energy(response, self.energy_distance_voxels, box)

    def _energy(self, response: Voxels, distance: int, box: Box) -> Voxels:
        energy: Voxels = np.abs(response)[box[0]] if self.by_slice else np.abs(response)
        side = 2 * distance + 1
        for axis in self.axes:
            energy = convolve(energy, [1 / side] * side, axis, self.boundary, box[axis])
        return energy

    @property
    def _per_axis(self) -> list[str]:
        """Names of the kernels along x, y and z."""
        return re.findall("..", self.kernels)


def _normalised(name: str) -> Kernel:
    kernel = _KERNELS[name]
    norm = math.sqrt(sum(value**2 for value in kernel))
    return tuple(value / norm for value in kernel)
