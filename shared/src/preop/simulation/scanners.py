"""Scanners: what CT, MR and PET make of the mean of each voxel (resolution, noise, storage)."""

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
        voxels = _blurred(hu, (0, self.resolution_mm, self.resolution_mm))
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
        voxels = _blurred(signal, (0, self.resolution_mm, self.resolution_mm))
        field = random_field(rng, grid, (self.bias_correlation_mm,) * 3)
        bias = np.exp(self.bias * resample_like(field, grid, interpolation="linear").voxels)
        real, imaginary = (self.noise * rng.standard_normal(voxels.shape, dtype=np.float32) for _ in range(2))
        magnitude = np.hypot(voxels * bias + real, imaginary)
        stored = np.clip(np.rint(self.scale * magnitude), 0, np.iinfo(np.int16).max)
        return signal.with_voxels(stored.astype(np.int16))


@dataclass(frozen=True)
class PetScanner:
    """A PET scanner with its iterative reconstruction.

    Attributes
    ----------
    spacing_mm
        Voxel spacing (z, y, x).
    resolution_mm
        Full width at half maximum of the point spread function, the same in all directions.
    noise
        Standard deviation of the noise in one voxel, as a fraction of the mean uptake there.
    noise_correlation_mm
        Its correlation length (z, y, x), which reconstruction and filter leave behind.
    """

    spacing_mm: tuple[float, float, float]
    resolution_mm: float
    noise: float
    noise_correlation_mm: tuple[float, float, float]

    def scan(self, rng: np.random.Generator, suv: Image) -> Image:
        """Scan the mean standardised uptake value of each voxel (0 or more) to SUV (float32, 0 or more).

        The noise is log-normal and proportional to the mean, as expectation maximisation leaves it
        (Barrett, Wilson and Tsui 1994, doi 10.1088/0031-9155/39/5/004).
        """
        voxels = _blurred(suv, (self.resolution_mm,) * 3)
        noise = correlated_noise(rng, suv.shape, suv.spacing_mm, self.noise_correlation_mm)
        variance = np.log1p(self.noise**2)  # of the logarithm
        factor = np.exp(np.float32(np.sqrt(variance)) * noise - np.float32(variance / 2))
        return suv.with_voxels((voxels * factor).astype(np.float32))


def _blurred(image: Image, fwhm_mm: tuple[float, float, float]) -> Floats:
    """Blur an image by a Gaussian point spread function of a width (z, y, x)."""
    from scipy import ndimage

    sigma = [
        fwhm / FWHM_PER_STANDARD_DEVIATION / spacing for fwhm, spacing in zip(fwhm_mm, image.spacing_mm, strict=True)
    ]
    return np.asarray(ndimage.gaussian_filter(image.voxels, sigma))
