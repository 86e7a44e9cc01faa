"""Histopathological growth patterns of liver metastases: shares of the interface, and the consensus rule for a patient.

A pathologist scores, on H&E slides, which part of the tumour's interface with the liver is desmoplastic (a rim of
fibrous tissue between both), replacement (tumour cells grow into the liver's plates) and pushing (the plates are
pressed aside). Rules: van Dam et al. 2017, doi 10.1038/bjc.2017.334, updated by Latacz et al. 2022,
doi 10.1038/s41416-022-01859-7: **desmoplastic only if the whole interface of every metastasis is desmoplastic**, else
non-desmoplastic. An older cut called a metastasis desmoplastic from half of its interface.

Shares are reported in steps of 5 %. So what is not known yet is a distribution over the 231 reports that there are, and
every probability asked of it is a sum: the predominant pattern, the cut at one half and the pure desmoplastic pattern
cannot contradict each other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError

Floats = NDArray[np.float64]

PARTS = 20
"""A report counts twentieths of the interface: steps of 5 %."""

MAJORITY = 0.5
"""Share from which the older rule called a metastasis desmoplastic."""

SUM_TOLERANCE = 0.011
"""Three shares that were rounded to whole per cent may miss 1 by this much."""

_NODES = 48  # of the Gauss-Hermite rule: the integrands are products of smooth steps
_SMALLEST = 1e-9


class Pattern(StrEnum):
    """The three common patterns; the order of the members is that of all arrays of shares."""

    DESMOPLASTIC = "desmoplastic"
    REPLACEMENT = "replacement"
    PUSHING = "pushing"


REPORTS: Floats = np.array([(d, r, PARTS - d - r) for d in range(PARTS + 1) for r in range(PARTS + 1 - d)]) / PARTS
"""Every report there is, (231, 3): shares of the patterns in steps of 5 %."""

PURE = len(REPORTS) - 1
"""Number of the report that is desmoplastic all along."""

# Of equal shares the pattern with the worse prognosis is said to predominate.
_SEVERITY = (Pattern.REPLACEMENT, Pattern.PUSHING, Pattern.DESMOPLASTIC)
_ORDER = [list(Pattern).index(pattern) for pattern in _SEVERITY]
_PREDOMINANT = np.array(_ORDER)[REPORTS[:, _ORDER].argmax(axis=1)]


@dataclass(frozen=True)
class Shares:
    """What a pathologist reports of one metastasis: parts of the interface, 1 together.

    Raises
    ------
    InvalidInputError
        If a share is not between 0 and 1, or they do not sum to 1.
    """

    desmoplastic: float
    replacement: float
    pushing: float

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in self.as_tuple()) or abs(sum(self.as_tuple()) - 1) > SUM_TOLERANCE:
            written = ", ".join(f"{name} {share:g}" for name, share in zip(Pattern, self.as_tuple(), strict=True))
            raise InvalidInputError(
                f"The shares of the interface are {written}; expected numbers from 0 to 1 that sum to 1."
            )

    def as_tuple(self) -> tuple[float, float, float]:
        """Give the shares in the order of the patterns."""
        return self.desmoplastic, self.replacement, self.pushing

    @property
    def report(self) -> int:
        """Number in ``REPORTS`` of the nearest report in steps of 5 %; only what is wholly desmoplastic is pure."""
        distance = np.abs(REPORTS - self.as_tuple()).sum(axis=1)
        if not self.pure_desmoplastic:
            distance[PURE] = np.inf
        return int(distance.argmin())

    @property
    def predominant(self) -> Pattern:
        """The largest share; of equal ones replacement before pushing before desmoplastic, the more severe first."""
        shares = dict(zip(Pattern, self.as_tuple(), strict=True))
        return max(_SEVERITY, key=shares.__getitem__)

    @property
    def pure_desmoplastic(self) -> bool:
        """Whether nothing but the desmoplastic pattern was seen."""
        return self.replacement == 0 and self.pushing == 0

    def at_least(self, share: float = MAJORITY) -> bool:
        """Whether the desmoplastic share reaches a cut."""
        return self.desmoplastic >= share


@dataclass(frozen=True)
class PatientPattern:
    """What the consensus makes of a patient.

    Attributes
    ----------
    desmoplastic
        Whether every metastasis is purely desmoplastic.
    lesions, pure_lesions
        How many were scored, and how many of them are purely desmoplastic.
    lowest_desmoplastic_share
        Of the metastasis that decides.
    """

    desmoplastic: bool
    lesions: int
    pure_lesions: int
    lowest_desmoplastic_share: float


def patient_pattern(lesions: Sequence[Shares]) -> PatientPattern:
    """Apply the consensus rule to all scored metastases of a patient.

    Raises
    ------
    InvalidInputError
        If none was scored.
    """
    if not lesions:
        raise InvalidInputError("No metastasis was scored; expected at least one.")
    pure = sum(lesion.pure_desmoplastic for lesion in lesions)
    lowest = min(lesion.desmoplastic for lesion in lesions)
    return PatientPattern(pure == len(lesions), len(lesions), pure, lowest)


@dataclass(frozen=True, eq=False)
class ShareDistribution:
    """What is thought of one metastasis before the pathologist's report.

    Attributes
    ----------
    probabilities
        Of each of ``REPORTS`` (231,); they sum to 1.
    """

    probabilities: Floats

    def __post_init__(self) -> None:
        p = self.probabilities
        if p.shape != (len(REPORTS),) or not (p >= 0).all() or abs(float(p.sum()) - 1) > 1e-6:
            raise InvalidInputError(
                f"A distribution of growth patterns has {p.size} probabilities that sum to {float(p.sum()):g}; "
                f"expected {len(REPORTS)} that sum to 1."
            )

    @property
    def mean(self) -> Floats:
        """Expected share of each pattern (3,)."""
        return np.asarray(self.probabilities @ REPORTS)

    @property
    def pure_desmoplastic(self) -> float:
        """Probability that the whole interface is desmoplastic."""
        return float(self.probabilities[PURE])

    def at_least(self, share: float = MAJORITY, pattern: Pattern = Pattern.DESMOPLASTIC) -> float:
        """Probability that the share of a pattern reaches a cut."""
        place = list(Pattern).index(pattern)
        return float(self.probabilities[REPORTS[:, place] >= share - 1e-9].sum())

    @property
    def predominant(self) -> dict[Pattern, float]:
        """Probability of each pattern to have the largest share."""
        sums = np.bincount(_PREDOMINANT, weights=self.probabilities, minlength=len(Pattern))
        return dict(zip(Pattern, sums.tolist(), strict=True))

    def interval(self, pattern: Pattern, confidence: float = 0.9) -> tuple[float, float]:
        """Give the quantiles of a share between which the report lies with at least this probability."""
        place = list(Pattern).index(pattern)
        parts = np.rint(REPORTS[:, place] * PARTS).astype(int)
        cumulated = np.bincount(parts, weights=self.probabilities, minlength=PARTS + 1).cumsum()
        tail = (1 - confidence) / 2
        low = int(np.searchsorted(cumulated, tail + 1e-12))
        high = int(np.searchsorted(cumulated, 1 - tail - 1e-12))
        return low / PARTS, min(high, PARTS) / PARTS

    def with_pure_desmoplastic(self, probability: float) -> ShareDistribution:
        """Change the probability of the pure pattern; all other reports keep their proportions."""
        others = self.probabilities.copy()
        others[PURE] = 0.0
        total = others.sum()
        if total <= 0:
            return self
        changed = others * ((1 - probability) / total)
        changed[PURE] = probability
        return ShareDistribution(changed)


@dataclass(frozen=True)
class WithinPatientCorrelation:
    """How far metastases of one patient resemble each other in being purely desmoplastic or not.

    Behind each patient stands a normal variable that shifts the chances of all of the patient's metastases: a probit
    model with a random intercept, whose share of the variance is ``correlation``.

    Attributes
    ----------
    prevalence
        Share of metastases that are purely desmoplastic.
    correlation
        From 0, where metastases are independent, to below 1, where they are all alike.
    """

    prevalence: float
    correlation: float

    def __post_init__(self) -> None:
        if not 0 < self.prevalence < 1 or not 0 <= self.correlation < 1:
            raise InvalidInputError(
                f"The within-patient correlation is {self.correlation:g} at a prevalence of {self.prevalence:g}; expected the "
                "first from 0 to below 1, the second between 0 and 1."
            )

    def probability(self, pure: ArrayLike, states: Sequence[bool | None]) -> float:
        """Probability of what was found, given what each metastasis by itself looks like.

        Parameters
        ----------
        pure
            Probability of each metastasis, seen alone, to be purely desmoplastic (n,).
        states
            Whether it is; None where that is left open (n).
        """
        desmoplastic, other = self._joint(pure)
        found = np.ones_like(desmoplastic[0])
        for state, yes, no in zip(states, desmoplastic, other, strict=True):
            found = found * (yes + no if state is None else yes if state else no)
        weights = _gauss_hermite()[1]
        return float((weights * found).sum() / (weights * (desmoplastic + other).prod(axis=0)).sum())

    def all_desmoplastic(self, pure: ArrayLike) -> float:
        """Probability that the patient is desmoplastic: that every metastasis is, purely."""
        return self.probability(pure, [True] * np.size(pure))

    def each_desmoplastic(self, pure: ArrayLike) -> Floats:
        """Probability of each metastasis to be purely desmoplastic (n,), given how all of the patient's look."""
        desmoplastic, other = self._joint(pure)
        either = desmoplastic + other
        weights = _gauss_hermite()[1] * either.prod(axis=0)
        return np.asarray((weights * (desmoplastic / either)).sum(axis=1) / weights.sum())

    def _joint(self, pure: ArrayLike) -> tuple[Floats, Floats]:
        """Likelihood of each metastasis to look as it does and to be pure, or not, at each node of the rule (n, nodes)."""
        from scipy.special import ndtr, ndtri

        p = np.clip(np.atleast_1d(np.asarray(pure, dtype=np.float64)), _SMALLEST, 1 - _SMALLEST)[:, None]
        nodes = _gauss_hermite()[0]
        shifted = (ndtri(self.prevalence) + math.sqrt(self.correlation) * nodes) / math.sqrt(1 - self.correlation)
        # Whichever of both is small is computed by itself, not as what the other leaves of 1.
        chance, rest = ndtr(shifted), ndtr(-shifted)
        return p / self.prevalence * chance, (1 - p) / (1 - self.prevalence) * rest


@functools.cache
def _gauss_hermite() -> tuple[Floats, Floats]:
    """Nodes and weights (nodes,) by which a mean over a standard normal variable is a weighted sum."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return nodes, weights / weights.sum()
