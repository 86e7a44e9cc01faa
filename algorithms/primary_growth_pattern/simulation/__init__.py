"""Simulated patients: the slide of a primary tumour, every item of its score card, and the growth pattern.

No part of the algorithm: inference imports nothing from here.
"""

from .cohort import (
    CENTRES,
    OUTCOME,
    SLIDE_PX,
    SMALL_SLIDE_PX,
    SOURCE,
    PatientFacts,
    SimulatedPatient,
    draw_facts,
    draw_patient,
    simulate,
    tissue_map,
    unfavourable,
)

__all__ = [
    "CENTRES",
    "OUTCOME",
    "SLIDE_PX",
    "SMALL_SLIDE_PX",
    "SOURCE",
    "PatientFacts",
    "SimulatedPatient",
    "draw_facts",
    "draw_patient",
    "simulate",
    "tissue_map",
    "unfavourable",
]
