"""Simulated patients of this study: portal venous CT of a liver with metastases, and what pathology reports of them.

How metastases grow and what is reported of them is drawn in ``disease``; the liver, its vessels and its neighbours in
``anatomy``; how scanners, readers and networks see them in ``scan``; ``cohort`` puts patients together and writes cohorts.
Nothing but the interface of a metastasis depends on its pattern. Nothing learned from these patients says anything about
real ones.
"""

from .cohort import PatientFacts, SimulatedPatient, draw_facts, draw_patient, simulate
from .disease import Metastases, draw_reports
from .scan import CENTRES, EXTERNAL_CENTRES

__all__ = [
    "CENTRES",
    "EXTERNAL_CENTRES",
    "Metastases",
    "PatientFacts",
    "SimulatedPatient",
    "draw_facts",
    "draw_patient",
    "draw_reports",
    "simulate",
]
