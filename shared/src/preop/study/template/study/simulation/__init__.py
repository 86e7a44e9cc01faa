"""Simulated patients: a lesion each, a sphere on a small CT, malignant by a known chance.

Nothing learned from them says anything about real patients.
"""

from .cohort import draw_patient, simulate

__all__ = ["draw_patient", "simulate"]
