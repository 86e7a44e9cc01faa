"""A number that is predicted as a distribution: how near it comes to what was counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.evidence.binary import CASES_OF_A_CALIBRATION_GROUP
from preop.statistics import (
    CountPoint,
    Coverage,
    Estimate,
    central_coverage,
    count_calibration,
    distribution_of_the_others,
    mean_estimate,
    ranked_probability_scores,
)

INTERVAL = 0.9
"""Probability of the interval of the count whose coverage is stated."""
_MAX_CALIBRATION_GROUPS = 10
_MAX_COLUMNS = 9


@dataclass(frozen=True, eq=False)
class CountPredictions:
    """Patients whose number is known exactly, two or more, and what was predicted of it.

    Attributes
    ----------
    counted
        Number of each patient (n,).
    expected
        Predicted mean number (n,).
    distributions
        Predicted probability of 0, 1, ..., the last of them that of as many or more (n, k).
    """

    counted: NDArray[np.intp]
    expected: NDArray[np.float64]
    distributions: NDArray[np.float64]

    @property
    def patients(self) -> int:
        """How many they are."""
        return self.counted.size

    @property
    def coverage(self) -> Coverage:
        """Of the 90 % intervals."""
        return central_coverage(self.counted, self.distributions, INTERVAL)

    @property
    def score(self) -> float:
        """Mean ranked probability score of the model; 0 is perfect."""
        return float(self._scores.mean())

    @property
    def score_of_cohort(self) -> float:
        """The same of the distribution of all other patients' numbers."""
        return float(self._scores_of_cohort.mean())

    @property
    def difference(self) -> Estimate:
        """Score of the model less that of the cohort, with Student's t interval; below 0 the model is better."""
        return mean_estimate(self._scores - self._scores_of_cohort)

    @property
    def gain(self) -> float:
        """By which part the model's score is better than the cohort's."""
        return 1 - self.score / self.score_of_cohort if self.score_of_cohort else 0.0

    @property
    def calibration(self) -> list[CountPoint]:
        """Counted against expected numbers; empty with fewer than 20 patients."""
        return count_calibration_of(self.counted, self.expected)

    @property
    def columns(self) -> dict[str, tuple[float, float]]:
        """Mean predicted probability and observed share of each number, the higher ones taken together."""
        mean = self.distributions.mean(axis=0)
        last = min(_MAX_COLUMNS, mean.size) - 1
        names = [*map(str, range(last)), f"{last} or more"]
        shares = np.bincount(np.minimum(self.counted, last), minlength=last + 1) / self.patients
        predicted = [*mean[:last].tolist(), float(mean[last:].sum())]
        return dict(zip(names, zip(predicted, shares.tolist(), strict=True), strict=True))

    def figures(self) -> dict[str, Any]:
        """State them for ``model.json``."""
        return {
            "patients": self.patients,
            "expected": float(self.expected.mean()),
            "reported": float(self.counted.mean()),
            "coverage_of_90_percent_interval": self.coverage.observed.as_dict(),
            "promised_coverage": self.coverage.promised,
            "ranked_probability_score": self.score,
            "ranked_probability_score_of_cohort": self.score_of_cohort,
            "difference": self.difference.as_dict(),
        }

    @property
    def _scores(self) -> NDArray[np.float64]:
        return ranked_probability_scores(self.counted, self.distributions)

    @property
    def _scores_of_cohort(self) -> NDArray[np.float64]:
        of_others = distribution_of_the_others(self.counted, self.distributions.shape[1] - 1)
        return ranked_probability_scores(self.counted, of_others)


def count_calibration_of(counted: NDArray[Any], expected: NDArray[np.float64]) -> list[CountPoint]:
    """Group cases by what was expected of them; give nothing with fewer than 20."""
    groups = min(counted.size // CASES_OF_A_CALIBRATION_GROUP, _MAX_CALIBRATION_GROUPS)
    return count_calibration(counted, expected, groups=groups) if groups > 1 else []
