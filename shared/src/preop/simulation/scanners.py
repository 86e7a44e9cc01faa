"""Scanners: what CT and MR make of the mean of each voxel (resolution, noise, storage)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preop.imaging import Image, resample_like
from preop.simulation.fields import correlated_noise, random_field
from preop.simulation.volumes import Floats

HU_RANGE = (-1024, 3071)  # 12 bits, as CT stores them
FWHM_PER_STANDARD_DEVIATION = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class CtScanner:
    """A CT scanner with its reconstruction.

    Attributes
    ----------
    spacing_mm
        Voxel spacing (z, y, x).
    resolution_mm
        Full width at half maximum of the point spread function in the slice.
    noise_hu
        Standard deviation of the noise in one voxel.
    noise_correlation_mm
        Its correlation length (z, y, x); longer along x where two legs are scanned side by side, since most photons
        are lost along that direction.
    """

    spacing_mm: tuple[float, float, float]
    resolution_mm: float
    noise_hu: float
    noise_correlation_mm: tuple[float, float, float]

    def scan(self, rng: np.random.Generator, hu: Image) -> Image:
        """Scan the mean HU of each voxel (float) to whole HU (int16)."""
        voxels = _blurred(hu, self.resolution_mm)
        noise = correlated_noise(rng, hu.shape, hu.spacing_mm, self.noise_correlation_mm)
        stored = np.rint(voxels + np.float32(self.noise_hu) * noise)
        return hu.with_voxels(np.clip(stored, *HU_RANGE).astype(np.int16))


@dataclass(frozen=True)
class MrScanner:
    """An MR scanner with its coil and sequence.

    Attributes
    ----------
    spacing_mm
        Voxel spacing (z, y, x).
    resolution_mm
        Full width at half maximum of the point spread function in the slice.
    noise
        Standard deviation of the noise in each of the two receiver channels, in units of the signal map.
    bias
        Standard deviation of the logarithm of the coil's sensitivity over the image.
    bias_correlation_mm
        Its correlation length.
    scale
        Stored value of one unit of signal; arbitrary in MR.
    """

    spacing_mm: tuple[float, float, float]
    resolution_mm: float
    noise: float
    bias: float
    bias_correlation_mm: float
    scale: float

    def scan(self, rng: np.random.Generator, signal: Image) -> Image:
        """Scan the mean signal of each voxel (0 or more) to magnitudes (int16).

        The noise is Rician: the length of a complex signal with Gaussian noise in both parts
        (Gudbjartsson and Patz 1995, doi 10.1002/mrm.1910340618).
        """
        grid = signal.geometry
        voxels = _blurred(signal, self.resolution_mm)
        field = random_field(rng, grid, (self.bias_correlation_mm,) * 3)
        bias = np.exp(self.bias * resample_like(field, grid, interpolation="linear").voxels)
        real, imaginary = (self.noise * rng.standard_normal(voxels.shape, dtype=np.float32) for _ in range(2))
        magnitude = np.hypot(voxels * bias + real, imaginary)
        stored = np.clip(np.rint(self.scale * magnitude), 0, np.iinfo(np.int16).max)
        return signal.with_voxels(stored.astype(np.int16))


def _blurred(image: Image, fwhm_mm: float) -> Floats:
    """Blur the slices of an image by a Gaussian point spread function."""
    from scipy import ndimage

    _, height_mm, width_mm = image.spacing_mm
    sigma_mm = fwhm_mm / FWHM_PER_STANDARD_DEVIATION
    return np.asarray(ndimage.gaussian_filter(image.voxels, (0, sigma_mm / height_mm, sigma_mm / width_mm)))
