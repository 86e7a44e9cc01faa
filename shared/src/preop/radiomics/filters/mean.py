"""Mean filter (IBSI-2 reference manual, section "Mean filter")."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from preop.imaging import Image
from preop.imaging.regions import Box
from preop.radiomics.filters.base import BaseFilter, Rows, Voxels, reach_of_taps
from preop.radiomics.filters.separable import convolve


class Mean(BaseFilter):
    """Mean over a cube of voxels."""

    kind: Literal["mean"] = "mean"
    support_voxels: int = Field(default=5, ge=1, description="Side of the cube, an odd number of voxels.")

    @field_validator("support_voxels")
    @classmethod
    def _has_a_middle(cls, support_voxels: int) -> int:
        if support_voxels % 2 == 0:
            raise ValueError(f"support_voxels ({support_voxels}) must be odd")
        return support_voxels

    @property
    def name(self) -> str:
        """Such as ``mean_5``."""
        return f"mean_{self.support_voxels}{self._suffix}"

    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:
        """Half the cube."""
        return reach_of_taps(self.support_voxels, spacing_mm)

    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:  # noqa: ARG002
        """Compute the part of the response map of a three-dimensional image that lies in a box."""
        voxels = image.voxels.astype(np.float64, copy=False)
        if self.by_slice:
            voxels = voxels[box[0]]
        for axis in self.axes:
            voxels = convolve(voxels, [1 / self.support_voxels] * self.support_voxels, axis, self.boundary, box[axis])
        return voxels
