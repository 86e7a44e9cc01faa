"""Staging as pure functions: nodal stations to TNM category, shares of growth patterns to the pattern of a patient."""

from preop.staging.dictation import NodeFinding, dictate
from preop.staging.growth_patterns import (
    MAJORITY,
    PARTS,
    PURE,
    REPORTS,
    PatientPattern,
    Pattern,
    ShareDistribution,
    Shares,
    WithinPatientCorrelation,
    patient_pattern,
)
from preop.staging.nodal import Edition, N, NodalStage, categories, category_of_station, nodal_stage, stages_of
from preop.staging.probabilities import (
    NodalProbabilities,
    NodeShares,
    most_likely_explanation,
    probabilities_of_nodes,
    probabilities_of_stations,
    station_probabilities,
)
from preop.staging.stations import Side, Station

__all__ = [
    "MAJORITY",
    "PARTS",
    "PURE",
    "REPORTS",
    "Edition",
    "N",
    "NodalProbabilities",
    "NodalStage",
    "NodeFinding",
    "NodeShares",
    "PatientPattern",
    "Pattern",
    "ShareDistribution",
    "Shares",
    "Side",
    "Station",
    "WithinPatientCorrelation",
    "categories",
    "category_of_station",
    "dictate",
    "most_likely_explanation",
    "nodal_stage",
    "patient_pattern",
    "probabilities_of_nodes",
    "probabilities_of_stations",
    "stages_of",
    "station_probabilities",
]
