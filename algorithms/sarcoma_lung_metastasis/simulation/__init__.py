"""Simulated patients with a soft-tissue sarcoma whose risk of lung metastasis is known."""

from sarcoma_lung_metastasis.simulation.cohort import SimulatedPatient, simulate, simulate_patient

__all__ = ["SimulatedPatient", "simulate", "simulate_patient"]
