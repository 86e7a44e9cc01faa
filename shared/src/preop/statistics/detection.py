"""Points that an algorithm marks, against points that are there: what is found at how many false marks a case.

Which marks hit which lesions is for ``grand_challenge_metrics`` to say, the platform's own package (evalutils, as it was
called): a mark hits one lesion within the distance, the nearest mark goes first, and further marks of a lesion that has been
found are false.

References
----------
Bandos AI, Rockette HE, Song T, Gur D. Area under the free-response ROC curve (FROC) and a related summary index.
Biometrics 2009;65:247-56.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, MissingToolError

Floats = NDArray[np.float64]
Point = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Marks:
    """Marks of one case.

    Attributes
    ----------
    points
        Where each is, in mm.
    scores
        How sure the algorithm is of each (m,).
    """

    points: Sequence[Point]
    scores: Floats


@dataclass(frozen=True, eq=False)
class Matched:
    """Marks and lesions of one case that were brought together.

    Attributes
    ----------
    found_at
        Of each lesion, the score of the mark that hits it; minus infinity where none does (k,).
    false_scores
        Scores of the marks that hit none.
    """

    found_at: Floats
    false_scores: Floats


@dataclass(frozen=True, eq=False)
class FrocCurve:
    """Free-response ROC curve, from no mark on (m,).

    Attributes
    ----------
    false_marks
        Number of false marks a case.
    sensitivity
        Share of the lesions found.
    thresholds
        A mark at or above this counts; infinite for the first point.
    """

    false_marks: Floats
    sensitivity: Floats
    thresholds: Floats


def match_marks(lesions: Sequence[Point], marks: Marks, distance_mm: float) -> Matched:
    """Bring marks and lesions of a case together, the surest marks first.

    The marks of each score, from the highest down, are offered to the lesions that none has hit so far, so that what is
    found at a threshold is what would be found by the marks above it alone.

    Raises
    ------
    InvalidInputError
        If the points differ in number from the scores, or the distance is not above 0.
    MissingToolError
        If grand-challenge-metrics is not installed.
    """
    if len(marks.points) != len(marks.scores) or not distance_mm > 0:
        raise InvalidInputError(
            f"There are {len(marks.points)} marks with {len(marks.scores)} scores, and a distance of {distance_mm:g} mm; "
            "expected a score for each, and a distance above 0."
        )
    found_at = np.full(len(lesions), -np.inf)
    false_scores: list[float] = []
    for score in np.unique(marks.scores)[::-1]:
        offered = [point for point, own in zip(marks.points, marks.scores, strict=True) if own == score]
        open_ = np.flatnonzero(np.isneginf(found_at))
        hits = _hits([lesions[int(place)] for place in open_], offered, distance_mm)
        used: set[int] = set()
        for place, near in zip(open_, hits, strict=True):
            first = next((mark for mark in near if mark not in used), None)
            if first is not None:
                used.add(first)
                found_at[place] = score
        false_scores += [float(score)] * (len(offered) - len(used))
    return Matched(found_at, np.array(false_scores))


def froc_curve(cases: Sequence[Matched]) -> FrocCurve:
    """Share of the lesions found at each number of false marks a case.

    Raises
    ------
    InvalidInputError
        If there is no case, or no lesion in any.
    """
    found, false = _all_scores(cases)
    thresholds = np.append(np.inf, np.unique(np.concatenate([found[np.isfinite(found)], false]))[::-1])
    return FrocCurve(
        false_marks=_at_or_above(false, thresholds) / len(cases),
        sensitivity=_at_or_above(found, thresholds) / found.size,
        thresholds=thresholds,
    )


@dataclass(frozen=True, eq=False)
class DetectionCounts:
    """Lesions found and false marks at each threshold, from the highest down, under several weightings of the cases.

    Attributes
    ----------
    found, false_marks
        At or above each threshold, (rows, m).
    lesions, cases
        Of each weighting, (rows,).
    """

    found: Floats
    false_marks: Floats
    lesions: Floats
    cases: Floats

    @property
    def average_precision(self) -> Floats:
        """Mean over the lesions of the precision at which each is found, 0 for those never found, (rows,)."""
        called = self.found + self.false_marks
        precision = np.divide(self.found, called, out=np.zeros_like(called), where=called > 0)
        with np.errstate(invalid="ignore"):
            return np.asarray((np.diff(self.found, axis=1, prepend=0) * precision).sum(axis=1) / self.lesions)

    def sensitivities_at(self, false_marks: Sequence[float]) -> Floats:
        """Share of the lesions found where a number of false marks a case is just not exceeded, (rows, f)."""
        found = np.concatenate([np.zeros((len(self.found), 1)), self.found], axis=1)
        with np.errstate(invalid="ignore"):
            rates, shares = self.false_marks / self.cases[:, None], found / self.lesions[:, None]
        allowed = np.asarray(false_marks) + 1e-12
        return np.array(
            [share[np.searchsorted(rate, allowed, side="right")] for rate, share in zip(rates, shares, strict=True)]
        )


class DetectionRanking:
    """Lesions and marks in the order of their scores, sorted once for all resamples.

    Raises
    ------
    InvalidInputError
        If there is no lesion in any case.
    """

    def __init__(self, cases: Sequence[Matched]) -> None:
        found, false = _all_scores(cases)
        hit = np.isfinite(found)
        self._lesions = np.array([matched.found_at.size for matched in cases], dtype=np.float64)
        self._thresholds = np.unique(np.concatenate([found[hit], false]))[::-1]
        self._owner_of_found = np.repeat(np.arange(len(cases)), self._lesions.astype(np.intp))[hit]
        self._owner_of_false = np.repeat(np.arange(len(cases)), [matched.false_scores.size for matched in cases])
        self._place_of_found, self._place_of_false = (
            np.searchsorted(-self._thresholds, -scores) for scores in (found[hit], false)
        )

    def counts(self, weights: Floats | None = None) -> DetectionCounts:
        """Count under weights (rows, n); without them, each case once, in one row."""
        rows = np.ones((1, self._lesions.size)) if weights is None else weights
        return DetectionCounts(
            found=self._cumulated(self._place_of_found, rows[:, self._owner_of_found]),
            false_marks=self._cumulated(self._place_of_false, rows[:, self._owner_of_false]),
            lesions=rows @ self._lesions,
            cases=rows.sum(axis=1),
        )

    def _cumulated(self, places: NDArray[np.intp], weights: Floats) -> Floats:
        counted = [np.bincount(places, weights=row, minlength=self._thresholds.size) for row in weights]
        return np.cumsum(counted, axis=1)


def _all_scores(cases: Sequence[Matched]) -> tuple[Floats, Floats]:
    found = np.concatenate([matched.found_at for matched in cases]) if cases else np.zeros(0)
    if not found.size:
        raise InvalidInputError(f"There is no lesion in {len(cases)} cases; expected at least one.")
    return found, np.concatenate([matched.false_scores for matched in cases])


def _at_or_above(scores: Floats, thresholds: Floats) -> Floats:
    return np.asarray(scores.size - np.searchsorted(np.sort(scores), thresholds, side="left"), dtype=np.float64)


def _hits(lesions: Sequence[Point], marks: Sequence[Point], distance_mm: float) -> Sequence[Sequence[int]]:
    """Of each lesion, the marks within the distance, the nearest first."""
    try:
        from grand_challenge_metrics.scorers import find_hits_for_targets
    except ImportError:
        raise MissingToolError(
            "Scores of detection need grand-challenge-metrics, which is not installed: run requirements/install.sh evaluation."
        ) from None
    if not lesions:
        return []
    found: Sequence[Sequence[int]] = find_hits_for_targets(
        targets=list(lesions), predictions=list(marks), radius=distance_mm
    )
    return found
