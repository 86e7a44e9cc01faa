"""Small changes of image and mask, to see which features survive them.

After Zwanenburg et al. 2019 (doi 10.1038/s41598-018-36938-4): rotation and shift of the grid, growth, randomised contour
and noise stand in for scanning and drawing again. The grid is moved before the one interpolation that takes place anyway,
so that a perturbed image is no smoother than another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.imaging import Geometry, Image
from preop.radiomics.filters import SeparableWavelet
from preop.radiomics.regions import depths_mm, distances_mm

Mask = NDArray[np.bool_]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# Median of the absolute value of a standard normal variable.
_NORMAL_MEDIAN = 0.6745


class Perturbation(BaseModel):
    """One change; the default changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation_degrees: float = Field(default=0.0, description="Rotation of the grid in the slices' plane.")
    shift_voxels: tuple[Fraction, Fraction, Fraction] = Field(
        default=(0.0, 0.0, 0.0), description="Shift of the grid (z, y, x), as a fraction of its voxels."
    )
    growth_mm: float = Field(default=0.0, description="Distance by which the mask's surface moves out; in if negative.")
    contour_sd_mm: float = Field(
        default=0.0, ge=0, description="Standard deviation of a random displacement of the mask's surface."
    )
    contour_length_mm: float = Field(
        default=5.0,
        gt=0,
        description="Distance over which that displacement stays alike (standard deviation of a Gaussian).",
    )
    noise: float = Field(
        default=0.0, ge=0, description="Standard deviation of added Gaussian noise, in units of the noise in the image."
    )
    seed: int = Field(default=0, ge=0, description="Seed of contour and noise.")

    @property
    def moves_the_grid(self) -> bool:
        """Whether image and mask must be interpolated."""
        return self.rotation_degrees != 0 or any(self.shift_voxels)

    @property
    def reach_mm(self) -> float:
        """How far the mask may grow."""
        return max(self.growth_mm, 0.0) + 4 * self.contour_sd_mm

    def moved(self, grid: Geometry, centre_mm: NDArray[np.float64]) -> Geometry:
        """Rotate a grid about a point of the world (x, y, z), and shift it."""
        angle = math.radians(self.rotation_degrees)
        in_plane = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        axes = np.reshape(grid.direction, (3, 3))
        rotation = axes @ in_plane @ axes.T
        origin = centre_mm + rotation @ (grid.world_mm(np.array([self.shift_voxels]))[0] - centre_mm)
        return Geometry(
            shape=grid.shape,
            spacing_mm=grid.spacing_mm,
            origin_mm=tuple(origin.tolist()),
            direction=tuple((rotation @ axes).ravel().tolist()),
        )

    def noisy(self, image: Image) -> Image:
        """Add noise of the strength that the image has (z, y, x)."""
        if self.noise == 0:
            return image
        rng = np.random.default_rng((self.seed, 0))
        strength = self.noise * noise_level(image)
        return image.with_voxels(image.voxels + strength * rng.standard_normal(image.shape))

    def redrawn(self, mask: Mask, spacing_mm: tuple[float, ...]) -> Mask:
        """Move the surface of a mask (z, y, x) by the growth and the random displacement."""
        if self.growth_mm == 0 and self.contour_sd_mm == 0:
            return mask
        from scipy import ndimage

        half_voxel = min(spacing_mm) / 2
        inwards = np.where(mask, depths_mm(mask, spacing_mm) - half_voxel, half_voxel - distances_mm(mask, spacing_mm))
        displacement = self.growth_mm
        if self.contour_sd_mm:
            rng = np.random.default_rng((self.seed, 1))
            widths = [self.contour_length_mm / mm for mm in spacing_mm]
            field = ndimage.gaussian_filter(rng.standard_normal(mask.shape), widths)
            displacement = displacement + self.contour_sd_mm * field / field.std()
        return np.asarray(inwards + displacement > 0)


def noise_level(image: Image) -> float:
    """Estimate the standard deviation of the noise in an image by its finest diagonal details in the slices' plane.

    Chang, Yu and Vetterli 2000 (doi 10.1109/83.862633): the median of their absolute wavelet coefficients.
    """
    details = SeparableWavelet(wavelet="coif1", passes="HH", by_slice=True).apply(image).voxels
    return float(np.median(np.abs(details))) / _NORMAL_MEDIAN


def random_perturbations(
    count: int,
    seed: int,
    *,
    rotation_degrees: float = 10.0,
    growth_mm: float = 1.0,
    contour_sd_mm: float = 1.0,
    noise: float = 1.0,
) -> Sequence[Perturbation]:
    """Draw perturbations that change everything at once: rotation and growth up to the limits either way, any shift."""
    rng = np.random.default_rng(seed)
    return [
        Perturbation(
            rotation_degrees=float(rng.uniform(-rotation_degrees, rotation_degrees)),
            shift_voxels=tuple(rng.uniform(0, 1, 3).tolist()),
            growth_mm=float(rng.uniform(-growth_mm, growth_mm)),
            contour_sd_mm=contour_sd_mm,
            noise=noise,
            seed=int(rng.integers(2**31)),
        )
        for _ in range(count)
    ]
