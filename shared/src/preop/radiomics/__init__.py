"""Radiomics by the standard of the Image Biomarker Standardisation Initiative (IBSI)."""

from preop.radiomics.catalogue import CATALOGUE, Feature, describe
from preop.radiomics.features import compute_features
from preop.radiomics.settings import (
    IBSI_CONFIGURATIONS,
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    Settings,
)

__all__ = [
    "CATALOGUE",
    "IBSI_CONFIGURATIONS",
    "Aggregation",
    "Family",
    "Feature",
    "FixedBinNumber",
    "FixedBinSize",
    "Settings",
    "compute_features",
    "describe",
]
