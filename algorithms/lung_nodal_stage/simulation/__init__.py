"""Simulated patients: PET/CT of a chest with lung cancer, the stations of its nodes, and what pathology found.

No part of the algorithm: inference imports nothing from here.
"""

from .cohort import (
    SOURCE,
    Facts,
    SimulatedPatient,
    draw_anatomy,
    draw_facts,
    draw_patient,
    draw_small_patient,
    simulate,
)
from .disease import SimulatedLesion
from .scan import CENTRES, THIN, Centre

__all__ = [
    "CENTRES",
    "SOURCE",
    "THIN",
    "Centre",
    "Facts",
    "SimulatedLesion",
    "SimulatedPatient",
    "draw_anatomy",
    "draw_facts",
    "draw_patient",
    "draw_small_patient",
    "simulate",
]
