"""How like its training patients a patient is to the model: the stains and the look of the slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preop.grandchallenge.cases import Case
from preop.likeness import Reference, fit_reference
from preop.likeness.slides import SLIDE_MEASURES, slide_measures
from preop.slides import assessable, find_tissue

from .examination import MASK, MASK_PIXEL_MM, open_slide

SLIDE_ITSELF = "slide"


def measures_of_case(case: Case) -> dict[str, float]:
    """Measure the slide of a patient as the training does."""
    with open_slide(case) as slide:
        if MASK in case:
            return slide_measures(slide, case.flat_mask(MASK, pixel_mm=MASK_PIXEL_MM), threads=0)
        return slide_measures(slide, assessable(find_tissue(slide, threads=0)), threads=0)


def references_of(rows: Sequence[Mapping[str, float]]) -> dict[str, Reference]:
    """Describe training patients by the measures of their slides."""
    return {SLIDE_ITSELF: fit_reference(rows, SLIDE_MEASURES)}
