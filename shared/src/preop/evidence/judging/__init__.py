"""Every figure of an evaluation, by what is predicted.

A yes or no (:mod:`~preop.evidence.judging.binary`), a stage (:mod:`~preop.evidence.judging.ordinal`), a number or shares
(:mod:`~preop.evidence.judging.numbers`), points (:mod:`~preop.evidence.judging.detections`), and time to an event
(:mod:`~preop.evidence.judging.survival`): of all cases, without those that the algorithm declined, and of groups
(:func:`~preop.evidence.judging.base.aggregates_of`), with intervals by patient where patients have several cases.
"""

from preop.evidence.judging.base import FEWEST_CASES, Figures, Judged, Resampling, aggregates_of, groups_of, key
from preop.evidence.judging.binary import BinarySettings, JudgedBinary
from preop.evidence.judging.detections import JudgedDetections
from preop.evidence.judging.numbers import JudgedCounts, JudgedShares
from preop.evidence.judging.ordinal import JudgedOrdinal
from preop.evidence.judging.survival import JudgedSurvival

__all__ = [
    "FEWEST_CASES",
    "BinarySettings",
    "Figures",
    "Judged",
    "JudgedBinary",
    "JudgedCounts",
    "JudgedDetections",
    "JudgedOrdinal",
    "JudgedShares",
    "JudgedSurvival",
    "Resampling",
    "aggregates_of",
    "groups_of",
    "key",
]
