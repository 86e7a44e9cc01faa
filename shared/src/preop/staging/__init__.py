"""Nodal staging of lung cancer as pure functions: stations and side in, TNM category, probabilities and words out."""

from preop.staging.dictation import NodeFinding, dictate
from preop.staging.evidence import NodeEvidence, StagedPatient, StageEvidence, read_stage_evidence, stages_of
from preop.staging.nodal import Edition, N, NodalStage, categories, category_of_station, nodal_stage
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
    "Edition",
    "N",
    "NodalProbabilities",
    "NodalStage",
    "NodeEvidence",
    "NodeFinding",
    "NodeShares",
    "Side",
    "StageEvidence",
    "StagedPatient",
    "Station",
    "categories",
    "category_of_station",
    "dictate",
    "most_likely_explanation",
    "nodal_stage",
    "probabilities_of_nodes",
    "probabilities_of_stations",
    "read_stage_evidence",
    "stages_of",
    "station_probabilities",
]
