"""A number that is predicted as a distribution, and shares of a whole: every figure of an evaluation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preop.evidence.counts import INTERVAL, count_calibration_of
from preop.evidence.judging.base import DEFAULT_RESAMPLING, Chosen, Figures, Json, Judged, Resampling, some
from preop.evidence.judging.pairs import compared_means, compared_shares
from preop.statistics import (
    Agreement,
    Estimate,
    central_coverage,
    distribution_of_the_others,
    intraclass_correlation,
    mean_bootstrap,
    mean_estimate,
    owners_of,
    ranked_probability_scores,
    wilson,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _JudgedNumbers(Judged):
    """Cases with a row of numbers each, in the reference and in the prediction.

    Attributes
    ----------
    reference, predicted
        (n, ...).
    patients
        Whom each case belongs to (n,), where several may be of one; None where each is a patient of its own.
    """

    reference: Floats
    predicted: Floats
    patients: tuple[str, ...] | None = None
    resampling: Resampling = DEFAULT_RESAMPLING

    @property
    def cases(self) -> int:
        """How many there are."""
        return len(self.reference)

    @property
    def smallest_class(self) -> int:
        """All of them."""
        return self.cases

    def take(self, chosen: Chosen) -> Self:
        """Give some of the cases (n,)."""
        return replace(
            self,
            reference=self.reference[chosen],
            predicted=self.predicted[chosen],
            patients=some(self.patients, chosen),
        )

    def _mean(self, values: Floats) -> Estimate:
        """Mean over the cases, with Student's t interval, or one from resampled patients."""
        if self.patients is None or len(set(self.patients)) == self.cases:
            return mean_estimate(values)
        repeats, seed = self.resampling.repeats, self.resampling.seed
        return mean_bootstrap(values, self.patients, seed=seed, repeats=repeats)

    def _share(self, right: Chosen) -> Estimate:
        """Share of the cases, with Wilson's interval, or one from resampled patients."""
        if self.patients is None or len(set(self.patients)) == self.cases:
            return wilson(int(right.sum()), right.size)
        return self._mean(right.astype(np.float64))

    def compare(self, others: Floats) -> Json:
        """Compare with others on the same cases: scores by turning differences round, shares by McNemar.

        Parameters
        ----------
        others
            What another reader or algorithm said of the same cases (n, k).
        """
        second, owners = replace(self, predicted=others), owners_of(self.patients, self.cases)
        found: Json = {"cases": self.cases}
        for name, own in self.scores().items():
            scores = own, second.scores()[name]
            found[name] = compared_means(*map(self._mean, scores), scores, owners, self.resampling)
        everyone = np.ones(self.cases, dtype=np.bool_)
        for name, right in self.right().items():
            found[name] = compared_shares(right, second.right()[name], everyone, owners, self.resampling)
        return found

    @abstractmethod
    def scores(self) -> dict[str, Floats]:
        """Scores of which the mean is stated, of each case (n,), by the name of the figure: lower is better."""

    @abstractmethod
    def right(self) -> dict[str, Chosen]:
        """Whether each case is right in a way that is stated as a share (n,), by the name of the figure."""


@dataclass(frozen=True, eq=False)
class JudgedCounts(_JudgedNumbers):
    """Cases with a number each (n,), and the probability of 0, 1, ..., the last of as many or more (n, k)."""

    def headline(self) -> Figures:
        """Absolute error of the expected number, and the ranked probability score."""
        found = Figures()
        for name, scores in self.scores().items():
            found.put(name, self._mean(scores), "")
        return found

    def figures(self) -> Figures:
        """Give all figures."""
        found = self.headline()
        found.put("bias", self._mean(self._expected - self.reference), "")
        for name, right in self.right().items():
            found.put(name, self._share(right), "")
        coverage = central_coverage(self.reference, self.predicted, INTERVAL)
        interval = Figures({"probability": INTERVAL, "promised": coverage.promised})
        interval.put("observed", coverage.observed, "")
        found.stated["coverage"] = interval.as_dict()
        by_cohort = self._mean(self._scores - self._scores_of_cohort) if self.cases > 1 else None
        found.put("score_less_that_of_the_cohort", by_cohort, "It takes two cases, for each to have others.")
        return found

    def curves(self) -> Json:
        """Counted against expected numbers."""
        points = count_calibration_of(self.reference, self._expected)
        return {
            "count_calibration": [
                {"expected": point.expected, "observed": point.observed.as_dict(), "cases": point.cases}
                for point in points
            ]
        }

    def scores(self) -> dict[str, Floats]:
        """Errors and scores of each case (n,)."""
        return {
            "absolute_error": np.abs(self._expected - self.reference),
            "ranked_probability_score": self._scores,
        }

    def right(self) -> dict[str, Chosen]:
        """Whether each case is right (n,)."""
        return {"exact": self.predicted.argmax(axis=1) == self._last_together}

    @cached_property
    def _expected(self) -> Floats:
        return np.asarray(self.predicted @ np.arange(self.predicted.shape[1]))

    @property
    def _last_together(self) -> NDArray[np.intp]:
        return np.asarray(np.minimum(self.reference.astype(np.intp), self.predicted.shape[1] - 1))

    @cached_property
    def _scores(self) -> Floats:
        return ranked_probability_scores(self.reference, self.predicted)

    @property
    def _scores_of_cohort(self) -> Floats:
        of_others = distribution_of_the_others(self.reference, self.predicted.shape[1] - 1)
        return ranked_probability_scores(self.reference, of_others)


@dataclass(frozen=True, eq=False)
class JudgedShares(_JudgedNumbers):
    """Cases with the shares of a whole each (n, k), reported and predicted.

    Attributes
    ----------
    parts
        Their names, k of them.
    """

    parts: tuple[str, ...] = ()

    def headline(self) -> Figures:
        """Absolute error, and agreement on the largest part."""
        found = Figures()
        found.put("absolute_error", self._mean(self.scores()["absolute_error"]), "")
        for name, right in self.right().items():
            found.put(name, self._share(right), "")
        return found

    def figures(self) -> Figures:
        """Give all figures."""
        found = self.headline()
        for name in ("squared_error", "cross_entropy"):
            found.put(name, self._mean(self.scores()[name]), "")
        reported, expected = (
            [self.parts[place] for place in each.argmax(axis=1)] for each in (self.reference, self.predicted)
        )
        agreement = Agreement.of(reported, expected, self.parts)
        found.put("kappa_of_largest_part", agreement.kappa, "All cases have one and the same largest part in both.")
        found.stated["parts"] = {name: self._part(place) for place, name in enumerate(self.parts)}
        found.stated["confusion"] = agreement.as_dict()
        return found

    def curves(self) -> Json:
        """Nothing is drawn but the table."""
        return {}

    def _part(self, place: int) -> Json:
        reported, expected = self.reference[:, place], self.predicted[:, place]
        part = Figures()
        part.put("absolute_error", self._mean(np.abs(expected - reported)), "")
        part.put("bias", self._mean(expected - reported), "")
        value = float(intraclass_correlation(np.stack([reported, expected])[:, :, None])[0])
        part.number("intraclass_correlation", value, "It takes two cases that differ.")
        return part.as_dict()

    def scores(self) -> dict[str, Floats]:
        """Errors and scores of each case (n,)."""
        return {
            "absolute_error": np.abs(self._errors).mean(axis=1),
            "squared_error": (self._errors**2).sum(axis=1),
            "cross_entropy": self._cross_entropy,
        }

    def right(self) -> dict[str, Chosen]:
        """Whether each case is right (n,)."""
        return {"same_largest_part": self.predicted.argmax(axis=1) == self.reference.argmax(axis=1)}

    @property
    def _errors(self) -> Floats:
        return np.asarray(self.predicted - self.reference)

    @property
    def _cross_entropy(self) -> Floats:
        """Proper score of the predicted shares as probabilities of a random spot's part; predictions of 0 count as 0.001."""
        inside = np.clip(self.predicted, 1e-3, None)
        return np.asarray(-(self.reference * np.log(inside / inside.sum(axis=1, keepdims=True))).sum(axis=1))
