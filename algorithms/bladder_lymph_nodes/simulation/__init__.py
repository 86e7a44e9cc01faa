"""Simulated patients with bladder cancer whose positive lymph nodes are known."""

from bladder_lymph_nodes.simulation.cohort import (
    NodeTruth,
    PatientFacts,
    SimulatedPatient,
    draw_facts,
    draw_patient,
    draw_small_patient,
    simulate,
)
from bladder_lymph_nodes.simulation.scan import CENTRES, THIN, Centre

__all__ = [
    "CENTRES",
    "THIN",
    "Centre",
    "NodeTruth",
    "PatientFacts",
    "SimulatedPatient",
    "draw_facts",
    "draw_patient",
    "draw_small_patient",
    "simulate",
]
