"""Held-out predictions as plain records of a few kinds, and every figure that is derived from them.

What is stored is who predicted what of whom. Training reports, the evaluation container and external validation take
their figures from here, so that the same figure means the same everywhere.

Of single cases: a yes or no (:mod:`~preop.evidence.binary`), a category in order (:mod:`~preop.evidence.ordinal`), a number
(:mod:`~preop.evidence.counts`), the instances of a patient (:mod:`~preop.evidence.instances`). Of whole studies, each with
what it states in ``model.json``: models on feature tables, by repeated splits (:mod:`~preop.evidence.splits`); bags of
instances (:mod:`~preop.evidence.bags`); nodal stages (:mod:`~preop.evidence.stages`); shares of growth patterns
(:mod:`~preop.evidence.shares`); several models side by side (:mod:`~preop.evidence.models`).
"""

from preop.evidence.bags import BagEvidence
from preop.evidence.binary import BinaryPredictions
from preop.evidence.claims import FEWEST_PERMUTATIONS
from preop.evidence.comparisons import SIGNIFICANT
from preop.evidence.counts import CountPredictions
from preop.evidence.figures import Comparison, Figure, ModelFigures, Stored, ValidationFigures
from preop.evidence.models import ModelsEvidence
from preop.evidence.ordinal import OrdinalPredictions, furthest_category
from preop.evidence.records import CentreFigures, Evidence, Record
from preop.evidence.shares import SharesEvidence
from preop.evidence.splits import SplitsEvidence
from preop.evidence.stages import NodeRecord, StagedPatient, StageEvidence

__all__ = [
    "FEWEST_PERMUTATIONS",
    "SIGNIFICANT",
    "BagEvidence",
    "BinaryPredictions",
    "CentreFigures",
    "Comparison",
    "CountPredictions",
    "Evidence",
    "Figure",
    "ModelFigures",
    "ModelsEvidence",
    "NodeRecord",
    "OrdinalPredictions",
    "Record",
    "SharesEvidence",
    "SplitsEvidence",
    "StageEvidence",
    "StagedPatient",
    "Stored",
    "ValidationFigures",
    "furthest_category",
]
