"""Which voxels of and around a tumour features are computed from.

A region is made from the tumour's mask on the grid that features are computed on, so that a ring of 3 mm is 3 mm wide
along the slices of a scan as well as across them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.errors import InvalidInputError

Mask = NDArray[np.bool_]
Width = Annotated[float, Field(gt=0)]


class BaseRegion(BaseModel, ABC):
    """A region that follows from the tumour's mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def name(self) -> str:
        """Such as ``ring_outside_5mm``."""

    @property
    def reach_mm(self) -> float:
        """How far the region may lie from the tumour."""
        return 0.0

    def of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask:
        """Find the region of a tumour (z, y, x).

        Raises
        ------
        InvalidInputError
            If no voxel belongs to the region.
        """
        found = self._of(tumour, spacing_mm)
        if not found.any():
            deepest = depths_mm(tumour, spacing_mm).max()
            raise InvalidInputError(
                f"The region {self.name} is empty: the tumour's deepest voxel lies {deepest:.3g} mm below its surface; "
                "choose another width."
            )
        return found

    @abstractmethod
    def _of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask: ...


class Tumour(BaseRegion):
    """The tumour as drawn."""

    kind: Literal["tumour"] = "tumour"

    @property
    def name(self) -> str:
        """``tumour``."""
        return self.kind

    def _of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask:  # noqa: ARG002
        return tumour


class Core(BaseRegion):
    """What lies deeper than a distance below the surface."""

    kind: Literal["core"] = "core"
    depth_mm: Width = Field(default=5.0, description="Distance from the surface at which the core begins.")

    @property
    def name(self) -> str:
        """Such as ``core_5mm``."""
        return f"core_{self.depth_mm:g}mm"

    def _of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask:
        return depths_mm(tumour, spacing_mm) > self.depth_mm


class RingInside(BaseRegion):
    """The tumour's rim: what lies within a distance below the surface."""

    kind: Literal["ring_inside"] = "ring_inside"
    width_mm: Width = Field(default=3.0, description="Width of the ring.")

    @property
    def name(self) -> str:
        """Such as ``ring_inside_3mm``."""
        return f"ring_inside_{self.width_mm:g}mm"

    def _of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask:
        return tumour & (depths_mm(tumour, spacing_mm) <= self.width_mm)


class RingOutside(BaseRegion):
    """The tumour's surroundings: what lies within a distance above the surface."""

    kind: Literal["ring_outside"] = "ring_outside"
    width_mm: Width = Field(default=5.0, description="Width of the ring.")

    @property
    def name(self) -> str:
        """Such as ``ring_outside_5mm``."""
        return f"ring_outside_{self.width_mm:g}mm"

    @property
    def reach_mm(self) -> float:
        """The ring's width."""
        return self.width_mm

    def _of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask:
        return ~tumour & (distances_mm(tumour, spacing_mm) <= self.width_mm)


class LargestSlab(BaseRegion):
    """The slices around the one in which the tumour's area is largest; of several, the middle one."""

    kind: Literal["largest_slab"] = "largest_slab"
    thickness_mm: Width = Field(default=5.0, description="Thickness of the slab; at least one slice.")

    @property
    def name(self) -> str:
        """Such as ``largest_slab_5mm``."""
        return f"largest_slab_{self.thickness_mm:g}mm"

    def _of(self, tumour: Mask, spacing_mm: tuple[float, ...]) -> Mask:
        areas = tumour.sum(axis=(1, 2))
        largest = np.flatnonzero(areas == areas.max())
        middle = largest[len(largest) // 2]
        distance_mm = np.abs(np.arange(len(tumour)) - middle) * spacing_mm[0]
        inside = distance_mm < max(self.thickness_mm, spacing_mm[0]) / 2
        return np.asarray(tumour & inside[:, None, None])


Region = Annotated[Tumour | Core | RingInside | RingOutside | LargestSlab, Field(discriminator="kind")]


def depths_mm(mask: Mask, spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance in mm from each voxel of a mask to the nearest one outside; the image's edge counts as outside.

    A ring of the voxels with a depth up to w is w wide, for the surface lies half a voxel before the nearest voxel
    outside, and the ring's last voxel reaches half a voxel beyond its centre.
    """
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm))[1:-1, 1:-1, 1:-1]


def distances_mm(mask: Mask, spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance in mm from each voxel outside a mask to the nearest one of the mask."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing_mm))
