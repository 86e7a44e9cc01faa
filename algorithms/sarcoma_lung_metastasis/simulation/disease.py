"""What decides the outcome of a simulated patient, how it is distributed, and what kind of sarcoma there is.

The outcome follows ``OUTCOME``, a stated model of latent variables, so that the best possible AUC is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from preop.simulation import LogisticOutcome

from .draws import choose, normal_within

# Grades of the 38 patients whose grade is known: 4 low, 12 intermediate, 22 high.
GRADES = {"low": 4 / 38, "intermediate": 12 / 38, "high": 22 / 38}
LN_VOLUME_CM3 = (5.55, 1.19)  # mean, standard deviation
VOLUME_RANGE_CM3 = (17.0, 1500.0)  # the cohort has two larger ones, of 1,981 and 2,333
# The cohort's low-grade tumours are liposarcomas and malignant fibrous histiocytomas (today: undifferentiated
# pleomorphic sarcomas), two of each. It has no nerve sheath tumour; their share is assumed.
HISTOLOGY_OF_LOW_GRADE = {
    "liposarcoma": 0.5,
    "undifferentiated_pleomorphic_sarcoma": 0.3,
    "fibrosarcoma": 0.1,
    "other": 0.1,
}
HISTOLOGY = {
    "undifferentiated_pleomorphic_sarcoma": 0.34,
    "leiomyosarcoma": 0.28,
    "liposarcoma": 0.13,
    "synovial_sarcoma": 0.08,
    "extraskeletal_bone_sarcoma": 0.08,
    "fibrosarcoma": 0.03,
    "malignant_peripheral_nerve_sheath_tumour": 0.03,
    "other": 0.03,
}

OUTCOME = LogisticOutcome(
    intercept=-4.35,  # for an event rate near the cohort's 15 of 39
    coefficients={
        "low_grade": -1.5,
        "high_grade": 0.6,
        "ln_volume_cm3": 0.5,
        "necrotic_fraction": 3.0,
        "ln_heterogeneity": 1.5,
    },
)


HORIZON_DAYS = 1826
"""Five years: the outcome is a metastasis by then."""
SHORTEST_FOLLOW_UP_DAYS = 730


@dataclass(frozen=True)
class Latent:
    """What decides the outcome, and can be seen in the scans more or less well."""

    grade: Literal["low", "intermediate", "high"]
    volume_cm3: float
    necrotic_fraction: float
    heterogeneity: float

    @property
    def true_probability(self) -> float:
        """Probability of lung metastasis by ``OUTCOME``."""
        return OUTCOME.probability(
            {
                "low_grade": float(self.grade == "low"),
                "high_grade": float(self.grade == "high"),
                "ln_volume_cm3": math.log(self.volume_cm3),
                "necrotic_fraction": self.necrotic_fraction,
                "ln_heterogeneity": math.log(self.heterogeneity),
            }
        )


def draw_latent(rng: np.random.Generator, *, largest_cm3: float = VOLUME_RANGE_CM3[1]) -> Latent:
    """Draw what decides a patient's outcome.

    Necrosis is commoner in large and in high-grade tumours; how much so is assumed, for the cohort has no pathology.
    """
    grade: Any = choose(rng, GRADES)
    mean, deviation = LN_VOLUME_CM3
    volume_cm3 = normal_within(rng, mean, deviation, (math.log(VOLUME_RANGE_CM3[0]), math.log(largest_cm3)))
    size = (volume_cm3 - mean) / deviation
    necrosis = -1.9 + 0.4 * size + 0.6 * (grade == "high") + 0.9 * rng.standard_normal()
    return Latent(
        grade=grade,
        volume_cm3=math.exp(volume_cm3),
        necrotic_fraction=1 / (1 + math.exp(-necrosis)),
        heterogeneity=math.exp(0.35 * rng.standard_normal()),
    )


def draw_follow_up_days(rng: np.random.Generator, probability: float, *, metastasis: bool) -> int:
    """Draw the days to a metastasis, or to when a patient was last seen without one, after two to five years.

    Metastases come at a rate that is constant in time, and such that they have come to this share of patients by
    ``HORIZON_DAYS``: so the hazards of two patients are proportional.
    """
    if not metastasis:
        return int(rng.integers(SHORTEST_FOLLOW_UP_DAYS, HORIZON_DAYS, endpoint=True))
    rate = -math.log1p(-probability) / HORIZON_DAYS
    return math.ceil(-math.log1p(-rng.random() * probability) / rate) or 1


def draw_histology(rng: np.random.Generator, grade: str) -> str:
    """Draw the kind of sarcoma, given its grade."""
    return str(choose(rng, HISTOLOGY_OF_LOW_GRADE if grade == "low" else HISTOLOGY))


def draw_fat_fraction(rng: np.random.Generator, histology: str, grade: str) -> float:
    """Share of fat in a tumour: much in a well differentiated liposarcoma, little in other liposarcomas (assumed)."""
    if histology != "liposarcoma":
        return 0.0
    return float(rng.uniform(0.3, 0.7) if grade == "low" else rng.uniform(0.0, 0.12))
