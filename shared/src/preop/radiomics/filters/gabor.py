"""Gabor filters (IBSI-2 reference manual, section "Gabor")."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from preop.imaging import Image
from preop.imaging.regions import Box
from preop.radiomics.filters.base import PAD_MODE, BaseFilter, Pooling, Rows, Voxels, number

# Beyond so many standard deviations the envelope is below a millionth.
ENVELOPE_SIGMAS = 5.3


class Gabor(BaseFilter):
    """Modulus of the response to waves under a Gaussian, in planes.

    Planes are slices, or, where not ``by_slice`` and ``rotation_invariant``, also the two planes at right angles to
    them, over which the response is pooled too.
    """

    kind: Literal["gabor"] = "gabor"
    sigma_mm: float = Field(default=5.0, gt=0, description="Standard deviation of the envelope along the wave.")
    wavelength_mm: float = Field(default=2.0, gt=0, description="Length of the wave.")
    gamma: float = Field(default=1.5, gt=0, description="Width of the envelope along the wave over that across it.")
    theta_degrees: float = Field(default=0.0, description="Direction of the wave, clockwise from x.")
    theta_step_degrees: float | None = Field(
        default=22.5, gt=0, le=180, description="Pool over directions so far apart; null for one direction."
    )
    rotation_invariant: bool = Field(default=True, description="Pool over the three planes.")
    pooling: Pooling = Field(default="average", description="How responses become one.")

    @property
    def name(self) -> str:
        """Such as ``gabor_5mm_2mm_1p5``."""
        direction = "" if self.theta_step_degrees else f"_{number(self.theta_degrees)}deg"
        invariant = "_invariant" if self.rotation_invariant and not self.by_slice else ""
        shape = f"{number(self.sigma_mm)}mm_{number(self.wavelength_mm)}mm_{number(self.gamma)}"
        return f"gabor_{shape}{direction}{invariant}{self._suffix}"

    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:
        """Where the envelope ends."""
        return ENVELOPE_SIGMAS * self.sigma_mm / min(self.gamma, 1) + max(spacing_mm)

    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:  # noqa: ARG002
        """Compute the part of the response map of a three-dimensional image that lies in a box."""
        pooled = np.zeros(image.shape)
        count = 0
        for response in self._responses(image.voxels, image.spacing_mm):
            count += 1
            if self.pooling == "max":
                np.maximum(pooled, response, out=pooled)  # a modulus is not negative
            else:
                pooled += response
        return (pooled / count if self.pooling == "average" else pooled)[box]

    def _responses(self, voxels: Voxels, spacing_mm: tuple[float, ...]) -> Iterator[Voxels]:
        """Responses in all planes and directions."""
        across = (0, 1, 2) if self.rotation_invariant and not self.by_slice else (0,)
        for normal in across:
            rows, columns = (axis for axis in range(3) if axis != normal)
            planes = np.moveaxis(voxels, normal, 0)
            for response in self._in_planes(planes, spacing_mm[rows], spacing_mm[columns]):
                yield np.moveaxis(response, 0, normal)

    def _in_planes(self, planes: Voxels, row_mm: float, column_mm: float) -> Iterator[Voxels]:
        """Responses of a stack of planes in all directions; the image is transformed once for all of them."""
        from scipy import fft

        reach = [math.ceil(self.reach_mm((0.0,)) / mm) for mm in (row_mm, column_mm)]
        padded = np.pad(planes, [(0, 0), *((n, n) for n in reach)], mode=PAD_MODE[self.boundary])
        size = [fft.next_fast_len(n) for n in padded.shape[1:]]
        spectrum = fft.fft2(padded, s=size)
        inside = tuple(slice(2 * n, 2 * n + length) for n, length in zip(reach, planes.shape[1:], strict=True))
        for theta in self._directions():
            kernel = fft.fft2(self._kernel(theta, reach, row_mm, column_mm), s=size)
            yield np.abs(fft.ifft2(spectrum * kernel)[:, inside[0], inside[1]])

    def _directions(self) -> list[float]:
        """Directions in radians; those of the second half turn give the same modulus."""
        if self.theta_step_degrees is None:
            return [math.radians(self.theta_degrees)]
        count = max(round(180 / self.theta_step_degrees), 1)
        return [math.radians(self.theta_degrees + n * self.theta_step_degrees) for n in range(count)]

    def _kernel(self, theta: float, reach: list[int], row_mm: float, column_mm: float) -> NDArray[np.complex128]:
        """Kernel in a plane; rows count downwards, so that a clockwise direction is a positive angle."""
        y, x = (
            np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1] * np.array([row_mm, column_mm])[:, None, None]
        )
        along = x * math.cos(theta) + y * math.sin(theta)
        beside = y * math.cos(theta) - x * math.sin(theta)
        envelope = np.exp(-(along**2 + (self.gamma * beside) ** 2) / (2 * self.sigma_mm**2))
        return np.asarray(envelope * np.exp(2j * math.pi * along / self.wavelength_mm))
