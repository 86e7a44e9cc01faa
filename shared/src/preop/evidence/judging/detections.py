"""Points that an algorithm marks, such as lymph nodes or metastases, against those that are there: every figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preop.evidence.judging.base import DEFAULT_RESAMPLING, Chosen, Figures, Json, Judged, Resampling, key, some
from preop.evidence.judging.pairs import compared
from preop.statistics import (
    DetectionRanking,
    Estimate,
    Matched,
    bootstrap,
    froc_curve,
    owners_of,
    percentile_interval,
    resampled_p_value,
)

Floats = NDArray[np.float64]
_NO_LESION = "No case has anything to be found."
_CURVE_POINTS = 400
_PLACE = "place "


@dataclass(frozen=True, eq=False)
class JudgedDetections(Judged):
    """Cases with what is to be found in each, and what was marked.

    Attributes
    ----------
    matched
        Of each case (n,).
    places
        Of each case, the name of the place of each lesion, such as its station; "" where none is named.
    false_marks
        Numbers of false marks a case at which sensitivity is stated.
    threshold
        From which on marks count for the sensitivity of each place.
    patients
        Whom each case belongs to (n,), where several may be of one; None where each is a patient of its own.
    """

    matched: tuple[Matched, ...]
    places: tuple[tuple[str, ...], ...]
    false_marks: tuple[float, ...]
    threshold: float
    patients: tuple[str, ...] | None = None
    resampling: Resampling = DEFAULT_RESAMPLING

    @property
    def cases(self) -> int:
        """How many there are."""
        return len(self.matched)

    @property
    def smallest_class(self) -> int:
        """How many lesions there are."""
        return self._lesions

    def take(self, chosen: Chosen) -> Self:
        """Give some of the cases (n,)."""
        return replace(
            self,
            matched=some(self.matched, chosen),
            places=some(self.places, chosen),
            patients=some(self.patients, chosen),
        )

    def headline(self) -> Figures:
        """Average precision, and sensitivity at the numbers of false marks."""
        found = Figures({"lesions": self._lesions})
        found.put("average_precision", self.resampled.get("average_precision"), _NO_LESION)
        for rate in self.false_marks:
            found.put(_at(rate), self.resampled.get(_at(rate)), _NO_LESION)
        return found

    def figures(self) -> Figures:
        """Give all figures."""
        found = self.headline()
        found.stated["marks"] = sum(
            int(np.isfinite(each.found_at).sum()) + each.false_scores.size for each in self.matched
        )
        found.stated["threshold"] = self.threshold
        found.put("sensitivity", self.resampled.get("sensitivity"), _NO_LESION)
        found.put("false_marks_a_case", self.resampled.get("false_marks_a_case"), "")
        names = sorted({name for places in self.places for name in places if name})
        if names:
            found.stated["places"] = {key(name): self._place(name) for name in names}
        return found

    def curves(self) -> Json:
        """Free-response ROC curve."""
        if not self._lesions:
            return {}
        curve = froc_curve(self.matched)
        shown = np.unique(np.linspace(0, curve.sensitivity.size - 1, _CURVE_POINTS).round().astype(np.intp))
        return {
            "froc": {
                "false_marks": curve.false_marks[shown].tolist(),
                "sensitivity": curve.sensitivity[shown].tolist(),
            }
        }

    def compare(self, others: Sequence[Matched]) -> Json:
        """Compare with the marks of another reader or algorithm on the same cases, all figures by resampled patients.

        Parameters
        ----------
        others
            The lesions of the same cases brought together with the marks of the other (n,).
        """
        return _compared(self, replace(self, matched=tuple(others)))

    @cached_property
    def _lesions(self) -> int:
        return sum(each.found_at.size for each in self.matched)

    def _place(self, name: str) -> Json:
        found = Figures({"lesions": sum(places.count(name) for places in self.places)})
        found.put("sensitivity", self.resampled.get(f"{_PLACE}{name}"), _NO_LESION)
        return found.as_dict()

    @cached_property
    def resampled(self) -> dict[str, Estimate]:
        """Figures with percentile intervals from resampled patients: lesions of one patient are found or missed together."""
        names, values, draws = _drawn(self, lambda weights: self.values(weights)[1])
        return {
            name: percentile_interval(float(value), column)
            for name, value, column in zip(names, values[0], draws.T, strict=True)
        }

    def values(self, weights: Floats) -> tuple[list[str], Floats]:
        """Give the names of all figures, and their values under weights of the cases (rows, n), (rows, m)."""
        columns: dict[str, Floats] = {}
        cases = weights.sum(axis=1)
        columns["false_marks_a_case"] = weights @ self._false_marks / cases
        if self._lesions:
            counts = self._ranking.counts(weights)
            columns["average_precision"] = counts.average_precision
            at = counts.sensitivities_at(self.false_marks)
            columns |= {_at(rate): at[:, place] for place, rate in enumerate(self.false_marks)}
        with np.errstate(invalid="ignore"):
            for name, (found, lesions) in self._found.items():
                columns[name] = weights @ found / (weights @ lesions)
        return list(columns), np.column_stack(list(columns.values()))

    @cached_property
    def _ranking(self) -> DetectionRanking:
        return DetectionRanking(self.matched)

    @cached_property
    def _false_marks(self) -> Floats:
        return np.array([(each.false_scores >= self.threshold).sum() for each in self.matched], dtype=np.float64)

    @cached_property
    def _found(self) -> dict[str, tuple[Floats, Floats]]:
        """Lesions found at the threshold, and all, of each case (n,): altogether and of each place."""
        parts: dict[str, tuple[Floats, Floats]] = {}
        for case, (each, places) in enumerate(zip(self.matched, self.places, strict=True)):
            for score, name in zip(each.found_at, places, strict=True):
                for part in ("sensitivity", *([f"{_PLACE}{name}"] if name else [])):
                    found, lesions = parts.setdefault(part, (np.zeros(self.cases), np.zeros(self.cases)))
                    lesions[case] += 1
                    found[case] += score >= self.threshold
        return parts


def _drawn(judged: JudgedDetections, values: Callable[[Floats], Floats]) -> tuple[list[str], Floats, Floats]:
    """Names of the figures, values of all cases (1, m), and those of resampled patients (repeats, m)."""
    everyone = np.ones((1, judged.cases))
    draws = bootstrap(
        values,
        judged.cases,
        seed=judged.resampling.seed,
        repeats=judged.resampling.repeats,
        owners=owners_of(judged.patients, judged.cases),
    )
    return judged.values(everyone)[0], values(everyone), draws


def _compared(first: JudgedDetections, second: JudgedDetections) -> Json:
    names, values, draws = _drawn(first, lambda weights: first.values(weights)[1] - second.values(weights)[1])
    found: Json = {"cases": first.cases, "lesions": first.smallest_class}
    for name, value, column in zip(names, values[0], draws.T, strict=True):
        if not name.startswith(_PLACE):
            difference = percentile_interval(float(value), column)
            found[name] = compared(first.resampled[name], second.resampled[name], difference, resampled_p_value(column))
    return found


def _at(rate: float) -> str:
    return f"sensitivity_at_{rate:g}_false_marks".replace(".", "_")
