"""A yes or no, predicted by a likelihood and decided at a threshold: every figure of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preop.evidence.binary import BinaryPredictions
from preop.evidence.judging.base import DEFAULT_RESAMPLING, Chosen, Figures, Json, Judged, Resampling, some
from preop.evidence.judging.pairs import compared, compared_shares, no_comparison
from preop.evidence.records import stated_number
from preop.statistics import (
    Estimate,
    Ranking,
    bootstrap,
    compare_aucs,
    expected_calibration_error,
    percentile_interval,
    predictive_values,
    resampled_p_value,
)

Floats = NDArray[np.float64]

DECISIONS = ("sensitivity", "specificity", "positive_predictive_value", "negative_predictive_value", "accuracy")
RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio")
GRID = np.linspace(0, 1, 101)
"""Rates of false positives at which the band of the ROC curve is drawn."""
_CURVE_POINTS = 400
_NO_CALL = {
    "sensitivity": "No case is positive.",
    "specificity": "No case is negative.",
    "positive_predictive_value": "No case was called positive.",
    "negative_predictive_value": "No case was called negative.",
    "positive_likelihood_ratio": "It takes positives, negatives, and a negative that was called positive.",
    "negative_likelihood_ratio": "It takes positives, negatives, and a negative that was called negative.",
}


@dataclass(frozen=True)
class BinarySettings:
    """What an evaluation asks for beyond the figures that every one has.

    Attributes
    ----------
    prevalence
        For which predictive values are stated too; None for none.
    from_sensitivity
        From which on the partial AUC is taken; None for none.
    thresholds
        Risks at which net benefit is stated.
    """

    prevalence: float | None = None
    from_sensitivity: float | None = None
    thresholds: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class JudgedBinary(Judged):
    """Cases with a likelihood each, and decisions."""

    predictions: BinaryPredictions
    settings: BinarySettings = BinarySettings()
    resampling: Resampling = DEFAULT_RESAMPLING

    @property
    def cases(self) -> int:
        """How many there are."""
        return self.predictions.cases

    @property
    def smallest_class(self) -> int:
        """How many have the rarer outcome."""
        return min(self.predictions.events, self.cases - self.predictions.events)

    def take(self, chosen: Chosen) -> Self:
        """Give some of the cases (n,)."""
        return replace(self, predictions=_taken(self.predictions, chosen))

    def headline(self) -> Figures:
        """AUC, and what the decisions are worth."""
        found = Figures({"events": self.predictions.events})
        found.put("auc", self.predictions.auc, self._one_class)
        self._decisions(found, ("sensitivity", "specificity", "accuracy"))
        return found

    def figures(self) -> Figures:
        """Give all figures."""
        predictions, counts = self.predictions, self.predictions.counts
        found = Figures()
        found.put("auc", predictions.auc, self._one_class)
        self._decisions(found, DECISIONS)
        found.number("brier_score", predictions.brier, "")
        found.stated["counts"] = asdict(counts)
        found.put("average_precision", self._resampled.get("average_precision"), self._one_class)
        if self.settings.from_sensitivity is not None:
            found.put("partial_auc", self._resampled.get("partial_auc"), self._one_class)
            found.stated["partial_auc"]["from_sensitivity"] = self.settings.from_sensitivity
        self._decisions(found, RATIOS)
        self._at_prevalence(found)
        self._calibration(found)
        found.stated["brier_score_interval"] = _ends(self._resampled["brier"])
        if self.settings.thresholds:
            found.stated["net_benefit"] = {
                f"at_{100 * at:g}_percent".replace(".", "_"): {
                    **self._resampled[f"benefit {at}"].as_dict(),
                    "treat_all": self._treat_all(at),
                }
                for at in self.settings.thresholds
            }
        return found

    def curves(self) -> Json:
        """ROC curve with its band, precision against sensitivity, calibration, net benefit."""
        found: Json = {}
        if self.predictions.has_both_outcomes:
            curve = self._ranking.curves()
            sensitivity, false_rate = curve.sensitivities[0], curve.false_positive_rates[0]
            called = curve.true_positives[0] + curve.false_positives[0]
            shown = _thinned(sensitivity.size)
            band = [self._resampled[f"roc {place}"] for place in range(GRID.size)]
            found["roc"] = {
                "false_positive_rate": false_rate[shown].tolist(),
                "sensitivity": sensitivity[shown].tolist(),
                "band": {
                    "false_positive_rate": GRID.tolist(),
                    **{
                        end: [stated_number(getattr(point, end)) for point in band]
                        for end in ("value", "lower", "upper")
                    },
                },
            }
            shown = _thinned(called.size)
            found["precision"] = {
                "sensitivity": sensitivity[1:][shown].tolist(),
                "precision": (curve.true_positives[0] / called)[shown].tolist(),
            }
        found["calibration"] = [
            {"predicted": point.predicted, "observed": point.observed.as_dict(), "cases": point.cases}
            for point in self.predictions.calibration
        ]
        benefit = self.predictions.decision_curve
        found["net_benefit"] = {name: getattr(benefit, name).tolist() for name in ("thresholds", "model", "all")}
        return found

    def compare(self, others: BinaryPredictions) -> Json:
        """Compare with others on the same cases: AUCs by DeLong, decisions by McNemar; by patient, from resampled ones.

        Parameters
        ----------
        others
            The same cases by a reader or another algorithm. Decisions of a reader without likelihoods have those as scores.
        """
        own = self.predictions
        found: Json = {"cases": own.cases, "events": own.events}
        found["auc"] = self._compared_aucs(others)
        if own.decisions is None or others.decisions is None:
            return found
        for name, part in {"sensitivity": own.labels, "specificity": ~own.labels}.items():
            right = own.decisions == own.labels, others.decisions == own.labels
            found[name] = (
                no_comparison() if not part.any() else compared_shares(*right, part, own.owners, self.resampling)
            )
        found["accuracy"] = compared_shares(*right, np.ones(own.cases, dtype=np.bool_), own.owners, self.resampling)
        return found

    def _compared_aucs(self, others: BinaryPredictions) -> Json:
        own = self.predictions
        if not own.has_both_outcomes:
            return no_comparison()
        result = compare_aucs(own.labels, own.scores, others.scores)
        difference, p_value = result.difference, result.p_value
        if own.owners is not None:
            rankings = Ranking(own.labels, own.scores), Ranking(own.labels, others.scores)
            draws = bootstrap(
                lambda weights: np.column_stack([ranking.curves(weights).auc for ranking in rankings]),
                own.cases,
                seed=self.resampling.seed,
                repeats=self.resampling.repeats,
                owners=own.owners,
            )
            difference = percentile_interval(difference.value, draws[:, 0] - draws[:, 1])
            p_value = resampled_p_value(draws[:, 0] - draws[:, 1])
        first, second = own.auc, replace(others, labels=own.labels, patients=own.patients).auc
        return compared(first, second, difference, p_value)

    @property
    def _one_class(self) -> str:
        events = self.predictions.events
        return f"All cases are {'positive' if events else 'negative'}, so nothing can be told apart."

    def _decisions(self, found: Figures, names: Sequence[str]) -> None:
        for name in names:
            estimate = getattr(self.predictions.counts, name)
            if estimate is not None and self.predictions.owners is not None:
                estimate = self._resampled[name]
            found.put(name, estimate, _NO_CALL.get(name, "No decision was made."))

    def _treat_all(self, at: float) -> float:
        prevalence = self.predictions.events / self.cases
        return prevalence - (1 - prevalence) * at / (1 - at)

    def _at_prevalence(self, found: Figures) -> None:
        prevalence = self.settings.prevalence
        if prevalence is None:
            return
        values = self.predictions.counts.predictive_values_at(prevalence)
        names = DECISIONS[2:4]
        part = Figures({"prevalence": prevalence})
        for name, estimate in zip(names, values, strict=True):
            own = self._resampled[f"{name} at"] if estimate and self.predictions.owners is not None else estimate
            part.put(name, own, "It takes positives and negatives, and some that are called so.")
        found.stated["at_prevalence"] = part.as_dict()

    def _calibration(self, found: Figures) -> None:
        recalibration, points = self.predictions.recalibration, self.predictions.calibration
        part = Figures()
        slope = "A slope takes both outcomes, and likelihoods that differ and do not separate them."
        part.put("slope", None if recalibration is None else recalibration.slope, slope)
        part.put("intercept", None if recalibration is None else recalibration.intercept, self._one_class)
        error = expected_calibration_error(points) if points else None
        part.number("expected_error", error, "It takes groups of ten cases, at least two.")
        found.stated["calibration"] = part.as_dict()

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking(self.predictions.labels, self.predictions.scores)

    @cached_property
    def _resampled(self) -> dict[str, Estimate]:
        """Figures with their percentile intervals, all from the same resamples."""
        names, values = self._values(np.ones((1, self.cases)))
        draws = bootstrap(
            lambda weights: self._values(weights)[1],
            self.cases,
            seed=self.resampling.seed,
            repeats=self.resampling.repeats,
            owners=self.predictions.owners,
        )
        return {
            name: percentile_interval(float(value), column)
            for name, value, column in zip(names, values[0], draws.T, strict=True)
        }

    def _values(self, weights: Floats) -> tuple[list[str], Floats]:
        """Figures of weighted cases, (rows, m), with their names."""
        predictions, settings = self.predictions, self.settings
        labels, scores = predictions.labels, predictions.scores
        columns: dict[str, Floats] = {}
        if predictions.has_both_outcomes:
            curves = self._ranking.curves(weights)
            columns["average_precision"] = curves.average_precision
            if settings.from_sensitivity is not None:
                columns["partial_auc"] = curves.mean_specificity(settings.from_sensitivity)
            columns |= {f"roc {place}": column for place, column in enumerate(curves.sensitivity_at(GRID).T)}
        cases = weights.sum(axis=1)
        columns["brier"] = weights @ (scores - labels) ** 2 / cases
        for at in settings.thresholds:
            worth = np.where(labels, 1.0, -at / (1 - at)) * (scores >= at)
            columns[f"benefit {at}"] = weights @ worth / cases
        if predictions.decisions is not None:
            called = predictions.decisions
            sides = np.column_stack([labels & called, ~labels & called, ~labels & ~called, labels & ~called])
            columns |= _shares_of(weights @ sides.astype(np.float64), settings.prevalence)
        return list(columns), np.column_stack(list(columns.values()))


def _shares_of(counts: Floats, prevalence: float | None) -> dict[str, Floats]:
    """What follows from true and false positives, true and false negatives (rows, 4)."""
    true, false, rejected, missed = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = true / (true + missed), rejected / (rejected + false)
        found = {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "positive_predictive_value": true / (true + false),
            "negative_predictive_value": rejected / (rejected + missed),
            "accuracy": (true + rejected) / counts.sum(axis=1),
            "positive_likelihood_ratio": sensitivity / (1 - specificity),
            "negative_likelihood_ratio": (1 - sensitivity) / specificity,
        }
    if prevalence is not None:
        pairs = np.array(
            [
                predictive_values(*point, prevalence) if np.isfinite(point).all() else (math.nan, math.nan)
                for point in zip(sensitivity, specificity, strict=True)
            ]
        )
        found |= {f"{name} at": pairs[:, place] for place, name in enumerate(DECISIONS[2:4])}
    return found


def _taken(predictions: BinaryPredictions, chosen: Chosen) -> BinaryPredictions:
    return BinaryPredictions(
        predictions.labels[chosen],
        predictions.scores[chosen],
        None if predictions.decisions is None else predictions.decisions[chosen],
        some(predictions.patients, chosen),
    )


def _thinned(points: int) -> NDArray[np.intp]:
    """Places of at most some hundred points of a curve, its ends among them."""
    if points <= _CURVE_POINTS:
        return np.arange(points)
    return np.unique(np.linspace(0, points - 1, _CURVE_POINTS).round().astype(np.intp))


def _ends(estimate: Estimate) -> Json:
    return {end: stated_number(getattr(estimate, end)) for end in ("lower", "upper")}
