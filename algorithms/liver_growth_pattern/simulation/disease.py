"""The metastases of a simulated patient before anything is drawn: how they grow, how they look, what pathology reports.

Everything is drawn from distributions that are stated here. How often patients are desmoplastic (about 20 % by the
consensus rule, and 42 to 46 % by the older cut at one half) follows published series, and that the patterns of one
patient's metastases resemble each other is well known; the distributions themselves are assumed. Nothing learned from
them says anything about real patients.

The pathologist looks at a number of fields along the interface, so that even an observer who knows the true shares
cannot be sure of the report: that observer's probabilities are the oracle for any algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.staging import PARTS, PURE, REPORTS, Shares

Floats = NDArray[np.floating[Any]]

MAX_METASTASES = 10
ANOTHER = 0.62  # chance that there is one more metastasis

# Patients whose metastases grow desmoplastically throughout, and how often one of theirs does not.
PURE_PATIENTS = 0.22
EXCEPTION = 0.04
# The others: mean shares of a patient, and how closely a metastasis follows them.
PATIENT_SHARES = (0.9, 1.4, 0.5)
FIDELITY = 6.0
EXCEPTION_SHARES = (7.0, 2.0, 1.0)
TRACE = 0.02  # what is less is none

FIELDS = 16  # that the pathologist looks at
MISREAD = 0.04  # chance that something else than fibrous tissue is seen in a pure metastasis

RADIUS_MM = (np.log(11.0), 0.42)  # mean and standard deviation of the logarithm
RADIUS_RANGE_MM = (5.0, 32.0)


@dataclass(frozen=True, eq=False)
class Metastases:
    """The metastases of one patient; arrays (n,), shares (n, 3).

    Attributes
    ----------
    shares
        True parts of the interface that are desmoplastic, replacement and pushing.
    radius_mm
        Of a ball of the same volume.
    capsule_mm, capsule_hu
        Thickness of the fibrous rim, and how much denser than the liver it is.
    infiltration_mm, roughness_mm
        Over what width tumour and liver mix where it replaces, and how irregular the border is there.
    displacement_mm
        How far vessels are pressed aside where it pushes.
    edge_mm, halo_hu
        Whatever the pattern: over what width the border is blurred by partial volume and motion, and how much denser or
        less dense the liver beside it is, for its blood flow changes.
    centre_hu, rim_hu, texture_hu
        Density in the middle and at the edge, beside that of the liver (below 0), and its unevenness.
    """

    shares: Floats
    radius_mm: Floats
    capsule_mm: Floats
    capsule_hu: Floats
    infiltration_mm: Floats
    roughness_mm: Floats
    displacement_mm: Floats
    edge_mm: Floats
    halo_hu: Floats
    centre_hu: Floats
    rim_hu: Floats
    texture_hu: Floats

    def __len__(self) -> int:
        return len(self.shares)

    @property
    def pure_report(self) -> Floats:
        """Probability that the pathologist finds nothing but the desmoplastic pattern in each (n,): the oracle."""
        pure = self.shares[:, 0] >= 1
        return np.where(pure, 1 - MISREAD, self.shares[:, 0] ** FIELDS)

    @property
    def oracle(self) -> float:
        """Probability of a non-desmoplastic patient, for an observer who knows all shares."""
        return float(1 - self.pure_report.prod())


def draw_metastases(rng: np.random.Generator) -> Metastases:
    """Draw the metastases of one patient."""
    n = min(int(rng.geometric(1 - ANOTHER)), MAX_METASTASES)
    if rng.random() < PURE_PATIENTS:
        shares = np.tile([1.0, 0.0, 0.0], (n, 1))
        other = rng.random(n) < EXCEPTION
        shares[other] = rng.dirichlet(EXCEPTION_SHARES, n)[other]
    else:
        mean = rng.dirichlet(PATIENT_SHARES)
        shares = rng.dirichlet(FIDELITY * mean + 0.02, n)
    shares[shares < TRACE] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    radius = np.exp(rng.normal(*RADIUS_MM, n)).clip(*RADIUS_RANGE_MM)
    return Metastases(
        shares=shares,
        radius_mm=radius,
        capsule_mm=rng.uniform(1.2, 3.0, n),
        capsule_hu=rng.normal(9, 10, n),
        infiltration_mm=rng.uniform(2.0, 5.0, n),
        roughness_mm=rng.uniform(0.6, 1.8, n),
        displacement_mm=np.minimum(rng.uniform(4, 9, n), 0.5 * radius),
        edge_mm=rng.uniform(0.9, 3.5, n),
        halo_hu=rng.normal(0, 7, n),
        centre_hu=rng.normal(-52, 9, n),
        rim_hu=rng.normal(-32, 7, n),
        texture_hu=rng.uniform(4, 9, n),
    )


def draw_reports(rng: np.random.Generator, metastases: Metastases) -> tuple[Shares, ...]:
    """Draw what the pathologist reports of each, in steps of 5 %; only what was seen in no field is left out."""
    reports = []
    for shares in metastases.shares:
        fields = rng.multinomial(FIELDS, shares) / FIELDS
        if shares[0] >= 1 and rng.random() < MISREAD:
            fields = np.array([1 - 1 / PARTS, 1 / PARTS, 0])
        distance = np.abs(REPORTS - fields).sum(axis=1)
        if fields[0] < 1:
            distance[PURE] = np.inf
        desmoplastic, replacement, pushing = REPORTS[distance.argmin()].tolist()
        reports.append(Shares(desmoplastic, replacement, pushing))
    return tuple(reports)
