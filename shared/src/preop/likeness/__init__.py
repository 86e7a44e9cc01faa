"""How like the patients of its training a patient is to a model: measures of scans and slides, and a distance with a limit.

Measures of slides are in ``likeness.slides``, which loads what reads slides.
"""

from preop.likeness.references import (
    LIKENESS,
    REFERENCE_FILE,
    Likeness,
    Measure,
    Reference,
    References,
    fit_reference,
    known,
    read_references,
    references_file,
)
from preop.likeness.scans import CT_MEASURES, PET_MEASURES, SIGNAL_MEASURES, ct_measures, pet_measures, signal_measures

__all__ = [
    "CT_MEASURES",
    "LIKENESS",
    "PET_MEASURES",
    "REFERENCE_FILE",
    "SIGNAL_MEASURES",
    "Likeness",
    "Measure",
    "Reference",
    "References",
    "ct_measures",
    "fit_reference",
    "known",
    "pet_measures",
    "read_references",
    "references_file",
    "signal_measures",
]
