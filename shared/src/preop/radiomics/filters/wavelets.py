"""Separable and non-separable wavelets, not decimated (IBSI-2 reference manual, sections of these names)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from preop.imaging import Image
from preop.imaging.regions import Box
from preop.radiomics.filters.base import BaseFilter, Boundary, Pooling, Rows, Voxels, reach_of_taps
from preop.radiomics.filters.separable import Kernel, Orientation, Stages, pooled_response, responses, rotations


class SeparableWavelet(BaseFilter):
    """Products of the low-pass (L) and high-pass (H) kernels of an orthogonal wavelet, dilated at deeper levels."""

    kind: Literal["separable_wavelet"] = "separable_wavelet"
    wavelet: str = Field(default="coif1", description="Family, as PyWavelets names it: haar, db3, sym4, coif1.")
    passes: str = Field(default="LLH", pattern="^[LH]{2,3}$", description="Pass along x, y and z; two by slice.")
    level: int = Field(default=1, ge=1, le=6, description="Decomposition level.")
    rotation_invariant: bool = Field(default=False, description="Pool over all rotations by right angles.")
    pooling: Pooling = Field(default="average", description="How responses of rotations become one.")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if len(self.passes) != len(self.axes):
            raise ValueError(f"passes ({self.passes}) must name {len(self.axes)} passes, one for each filtered axis")
        _bank(self.wavelet)
        return self

    @property
    def name(self) -> str:
        """Such as ``wavelet_coif1_LLH_1``."""
        invariant = "_invariant" if self.rotation_invariant else ""
        return f"wavelet_{self.wavelet}_{self.passes}_{self.level}{invariant}{self._suffix}"

    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:
        """All dilated kernels, one after the other."""
        taps = len(_bank(self.wavelet)["L"]) * (2**self.level - 1)
        return 2 * reach_of_taps(taps, spacing_mm)

    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:
        """Compute the part of the response map of a three-dimensional image that lies in a box."""
        orientations = rotations(self.orientation) if self.rotation_invariant else [self.orientation]
        return pooled_response(image.voxels, orientations, self.axes, self.boundary, self.pooling, box, rows)

    @property
    def beginning(self) -> Hashable:
        """The wavelet and its pass along z, the first axis that is convolved."""
        if self.rotation_invariant:
            return self.name
        return self.wavelet, self.level, self.boundary, self.by_slice, self.passes[-1]

    @classmethod
    def together(
        cls, filters: Sequence[BaseFilter], image: Image, box: Box, rows: Rows | None = None
    ) -> Iterator[tuple[BaseFilter, Voxels]]:
        """Compute what ``within`` does for wavelets that begin alike, and passes that they share only once."""
        first, *others = [each for each in filters if isinstance(each, cls)]
        if not others:
            yield first, first.within(image, box, rows)
            return
        orientations = [each.orientation for each in (first, *others)]
        for number, response in responses(image.voxels, orientations, first.axes, first.boundary, box, rows):
            yield filters[number], response

    @property
    def orientation(self) -> Orientation:
        """Kernels along the filtered axes."""
        return tuple(self._stages(letter) for letter in reversed(self.passes))

    def _stages(self, letter: str) -> Stages:
        """Low-pass kernels of the levels before, then the kernel of this level; "a trous": each level twice as wide."""
        bank = _bank(self.wavelet)
        letters = "L" * (self.level - 1) + letter
        return tuple(_dilated(bank[each], 2**depth) for depth, each in enumerate(letters))


class Simoncelli(BaseFilter):
    """Isotropic band-pass wavelet, defined over frequencies: the band halves with each level.

    With ``riesz``, its Riesz transform: a derivative of these orders that weighs all frequencies alike, so that the response
    depends on direction.
    """

    kind: Literal["simoncelli"] = "simoncelli"
    level: int = Field(default=1, ge=1, le=6, description="Decomposition level.")
    riesz: str | None = Field(
        default=None,
        pattern="^[0-4]{2,3}$",
        description="Orders of the Riesz transform along x, y and z, such as 100; two by slice; null for none.",
    )
    boundary: Boundary = Field(default="periodic", pattern="^periodic$", description="Always periodic.")

    @model_validator(mode="after")
    def _one_order_an_axis(self) -> Self:
        if self.riesz is not None and (len(self.riesz) != len(self.axes) or not sum(self._orders)):
            raise ValueError(
                f"riesz ({self.riesz}) must name {len(self.axes)} orders, one for each filtered axis, not all of them 0"
            )
        return self

    @property
    def name(self) -> str:
        """Such as ``simoncelli_1`` or ``simoncelli_1_riesz_100``."""
        riesz = f"_riesz_{self.riesz}" if self.riesz else ""
        return f"simoncelli_{self.level}{riesz}{self._suffix}"

    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:  # noqa: ARG002
        """No limit: a filter with a sharp band in frequency has none in space."""
        return math.inf

    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:  # noqa: ARG002
        """Compute the part of the response map of a three-dimensional image that lies in a box."""
        from scipy import fft

        shape = [image.shape[axis] for axis in self.axes]
        spectrum = fft.rfftn(image.voxels.astype(np.float64), axes=self.axes)
        spectrum *= self._gain(shape)[..., : spectrum.shape[-1]]
        return np.asarray(fft.irfftn(spectrum, s=shape, axes=self.axes))[box]

    @property
    def _orders(self) -> list[int]:
        """Orders of the Riesz transform along the filtered axes, (z, y, x) or (y, x)."""
        return [int(order) for order in reversed(self.riesz or "")]

    def _gain(self, shape: list[int]) -> NDArray[np.float64] | NDArray[np.complex128]:
        """Gain at each frequency, in the order of a Fourier transform."""
        from scipy import fft

        # From -1 to 1, the Nyquist frequency, as the reference values have it; on an even number of voxels no frequency
        # is then exactly 0, and the response of real intensities is that of the gain's Hermitian part.
        axes = [fft.ifftshift(np.linspace(-1, 1, n) if n > 1 else np.zeros(1)) for n in shape]
        along = np.meshgrid(*axes, indexing="ij", sparse=True)
        frequency = np.sqrt(sum(axis**2 for axis in along))
        highest = 2.0 ** (1 - self.level)
        gain = np.zeros(shape)
        inside = (frequency >= highest / 4) & (frequency <= highest)
        gain[inside] = np.cos(math.pi / 2 * np.log2(2 * frequency[inside] / highest))
        if self.riesz:
            total = sum(self._orders)
            scale = math.sqrt(math.factorial(total) / math.prod(map(math.factorial, self._orders)))
            product = math.prod(axis**order for axis, order in zip(along, self._orders, strict=True))
            gain = (-1j) ** total * scale * gain * product / np.where(inside, frequency, 1) ** total
        opposite = np.roll(np.flip(gain), 1, axis=tuple(range(gain.ndim)))
        return (gain + opposite.conj()) / 2


@cache
def _bank(wavelet: str) -> dict[str, Kernel]:
    """Decomposition kernels of a wavelet, of even length, with a zero after the last coefficient.

    Their centre, right of the middle, thus becomes the middle, and stays where it is when a kernel is turned or dilated.
    """
    import pywt

    if wavelet not in pywt.wavelist(kind="discrete"):
        raise ValueError(f"wavelet ({wavelet}) must be a discrete wavelet of PyWavelets, such as haar, db3 or coif1")
    bank = pywt.Wavelet(wavelet)
    return {"L": (*bank.dec_lo, 0.0), "H": (*bank.dec_hi, 0.0)}


def _dilated(kernel: Kernel, step: int) -> Kernel:
    """Put zeros between the coefficients."""
    wide = np.zeros((len(kernel) - 1) * step + 1)
    wide[::step] = kernel
    return tuple(wide.tolist())
