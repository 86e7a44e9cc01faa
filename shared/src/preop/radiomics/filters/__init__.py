"""Convolutional filters by the standard of IBSI-2 (reference manual, arXiv 2006.05470)."""

from typing import Annotated

from pydantic import Field

from preop.radiomics.filters.gabor import Gabor
from preop.radiomics.filters.laplacian_of_gaussian import LaplacianOfGaussian
from preop.radiomics.filters.laws import Laws
from preop.radiomics.filters.mean import Mean
from preop.radiomics.filters.wavelets import SeparableWavelet, Simoncelli

Filter = Annotated[
    Mean | LaplacianOfGaussian | Laws | Gabor | SeparableWavelet | Simoncelli, Field(discriminator="kind")
]

__all__ = ["Filter", "Gabor", "LaplacianOfGaussian", "Laws", "Mean", "SeparableWavelet", "Simoncelli"]
