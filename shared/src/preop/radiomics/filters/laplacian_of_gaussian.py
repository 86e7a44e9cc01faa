"""Laplacian of Gaussian (IBSI-2 reference manual, section "Laplacian-of-Gaussian filter")."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from preop.imaging import Image
from preop.imaging.regions import Box
from preop.radiomics.filters.base import BaseFilter, Rows, Voxels, number
from preop.radiomics.filters.separable import Needed, convolve


class LaplacianOfGaussian(BaseFilter):
    """Second derivative of an image smoothed by a Gaussian: negative on blobs that are bright, positive on dark ones.

    The response is in intensity per squared voxel, as in the standard: compare images of one spacing.
    """

    kind: Literal["laplacian_of_gaussian"] = "laplacian_of_gaussian"
    sigma_mm: float = Field(default=2.0, gt=0, description="Width of the Gaussian: blobs of radius sigma x sqrt(3).")
    truncate: float = Field(default=4.0, gt=0, description="Half the kernel's side in sigma.")

    @property
    def name(self) -> str:
        """Such as ``log_2mm``."""
        return f"log_{number(self.sigma_mm)}mm{self._suffix}"

    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:
        """Half the kernel."""
        return self.truncate * self.sigma_mm + max(spacing_mm)

    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:
        """Compute the part of the response map of a three-dimensional image that lies in a box.

        The kernel is the sum, over the axes, of a product of one second derivative and Gaussians along the others, so
        that it is convolved axis by axis: ``smooth`` carries the product without a derivative yet, ``derived`` the sum
        of those with one.
        """
        smooth: Voxels = image.voxels.astype(np.float64, copy=False)
        if self.by_slice:
            smooth = smooth[box[0]]
        kernels = {axis: self._kernels(image.spacing_mm[axis]) for axis in self.axes}
        reach = max(len(gaussian) // 2 for gaussian, _ in kernels.values())
        needed = None if rows is None else Needed(rows, box, reach)
        derived: Voxels | None = None
        for axis, (gaussian, second) in kernels.items():
            with_derivative = convolve(smooth, second, axis, self.boundary, box[axis], needed)
            if derived is not None:
                # What is not needed may be anything, also what is not a number.
                with np.errstate(invalid="ignore", over="ignore"):
                    with_derivative += convolve(derived, gaussian, axis, self.boundary, box[axis], needed)
            derived = with_derivative
            if axis != self.axes[-1]:
                smooth = convolve(smooth, gaussian, axis, self.boundary, box[axis], needed)
        return np.asarray(derived)

    def _kernels(self, spacing_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gaussian and its second derivative, sampled at the voxels."""
        sigma = self.sigma_mm / spacing_mm
        reach = math.floor(self.truncate * sigma + 0.5)
        x2 = np.arange(-reach, reach + 1) ** 2
        gaussian = np.exp(-x2 / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        return gaussian, gaussian * (x2 / sigma**4 - 1 / sigma**2)
