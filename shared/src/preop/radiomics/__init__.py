"""Radiomics by the standard of the Image Biomarker Standardisation Initiative (IBSI)."""

from preop.radiomics.catalogue import CATALOGUE, Feature, describe
from preop.radiomics.extraction import Extraction, extract
from preop.radiomics.features import compute_features
from preop.radiomics.perturbations import Perturbation, random_perturbations
from preop.radiomics.regions import Core, LargestSlab, Region, RingInside, RingOutside, Tumour
from preop.radiomics.settings import (
    IBSI_CONFIGURATIONS,
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    Modality,
    Settings,
)

__all__ = [
    "CATALOGUE",
    "IBSI_CONFIGURATIONS",
    "Aggregation",
    "Core",
    "Extraction",
    "Family",
    "Feature",
    "FixedBinNumber",
    "FixedBinSize",
    "LargestSlab",
    "Modality",
    "Perturbation",
    "Region",
    "RingInside",
    "RingOutside",
    "Settings",
    "Tumour",
    "compute_features",
    "describe",
    "extract",
    "random_perturbations",
]
