"""The lesion of a simulated patient before anything is drawn, and whether it is malignant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preop.simulation import LogisticOutcome

# Log odds of malignancy for one standard deviation of each.
MALIGNANCY = LogisticOutcome(intercept=0.0, coefficients={"size": 1.2, "density": 1.2})
RADIUS_MM, DENSITY_HU = (9.0, 0.3), (45.0, 15.0)


@dataclass(frozen=True)
class Lesion:
    """A lesion, and the probability that one like it is malignant: an algorithm can do no better than know that."""

    radius_mm: float
    density_hu: float
    probability: float
    malignant: bool


def draw_lesion(rng: np.random.Generator) -> Lesion:
    """Draw a lesion: the radius log-normal, the density normal and independent of it."""
    size, density, chance = rng.normal(), rng.normal(), rng.random()
    probability = MALIGNANCY.probability({"size": size, "density": density})
    radius_mm = float(RADIUS_MM[0] * np.exp(RADIUS_MM[1] * size))
    return Lesion(radius_mm, float(DENSITY_HU[0] + DENSITY_HU[1] * density), probability, bool(chance < probability))
