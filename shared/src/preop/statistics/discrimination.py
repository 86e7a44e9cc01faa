"""How well a score separates positives from negatives: the receiver operating characteristic.

References
----------
DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver operating
characteristic curves: a nonparametric approach. Biometrics 1988;44:837-45.
Sun X, Xu W. Fast implementation of DeLong's algorithm for comparing the areas under correlated receiver operating
characteristic curves. IEEE Signal Process Lett 2014;21:1389-93.
Kottas M, Kuss O, Zapf A. A modified Wald interval for the area under the ROC curve (AUC) in diagnostic case-control
studies. BMC Med Res Methodol 2014;14:26.
Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 1997;53:567-78.
Youden WJ. Index for rating diagnostic tests. Cancer 1950;3:32-5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_names, as_numbers, as_scores, by_class
from preop.statistics.intervals import Estimate, corrected_resampled_t

# A variance below this is rounding: placement values are fractions between 0 and 1.
NO_VARIANCE = 1e-20
# Where bands are drawn: every hundredth.
ROC_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Points of a receiver operating characteristic curve, from (0, 0) to (1, 1).

    Attributes
    ----------
    false_positive_rate, true_positive_rate
        Coordinates of the points, (m,).
    thresholds
        A score at or above this is called positive, (m,); infinite for the first point.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RocBand:
    """A ROC curve at fixed rates of false positives, with an interval at each, all (m,).

    Attributes
    ----------
    false_positive_rate
        From 0 to 1.
    sensitivity, lower, upper
        Of the curve, and of its band.
    """

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclass(frozen=True)
class AucComparison:
    """Difference of two AUCs on the same cases.

    Attributes
    ----------
    difference
        First AUC less the second, with its interval.
    p_value
        Two-sided, of no difference; NaN where the difference has no variance.
    """

    difference: Estimate
    p_value: float


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the probability that a positive scores above a negative, ties counting one half.

    Parameters
    ----------
    labels
        0 or 1, (n,).
    scores
        Finite numbers, higher for positives, (n,).

    Raises
    ------
    InvalidInputError
        If only one class is present, or the arrays do not fit.
    """
    of_positives, _ = _placements(labels, scores)
    return float(of_positives.mean())


def auc_delong(labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95) -> Estimate:
    """AUC with DeLong's variance and an interval that is symmetric on the logit scale.

    The logit keeps the interval inside 0 to 1 and near its nominal coverage in small samples, where the plain one is
    too short (the simulations of Kottas 2014).

    Returns
    -------
    The interval is NaN where DeLong's variance says nothing: fewer than two cases of a class, or no variance at
    all, as with perfectly separated classes.

    Raises
    ------
    InvalidInputError
        As :func:`auc`.
    """
    of_positives, of_negatives = _placements(labels, scores)
    variance = _variance(of_positives, of_negatives)
    return _on_logit_scale(float(of_positives.mean()), variance, _normal_quantile(confidence), confidence)


def compare_aucs(
    labels: ArrayLike, first_scores: ArrayLike, second_scores: ArrayLike, confidence: float = 0.95
) -> AucComparison:
    """Compare the AUCs of two scores of the same cases with DeLong's paired test.

    Raises
    ------
    InvalidInputError
        As :func:`auc`.
    """
    from scipy.stats import norm

    first, second = _placements(labels, first_scores), _placements(labels, second_scores)
    # An AUC is linear in its placement values, so the difference of two has the differences as its own.
    of_positives, of_negatives = first[0] - second[0], first[1] - second[1]
    difference = float(of_positives.mean())
    variance = _variance(of_positives, of_negatives)
    if not variance > NO_VARIANCE:
        return AucComparison(Estimate.without_interval(difference), math.nan)
    error = math.sqrt(variance)
    half_width = _normal_quantile(confidence) * error
    interval = Estimate(difference, max(difference - half_width, -1.0), min(difference + half_width, 1.0), confidence)
    return AucComparison(interval, float(2 * norm.sf(abs(difference) / error)))


def auc_clustered(labels: ArrayLike, scores: ArrayLike, patients: Sequence[str], confidence: float = 0.95) -> Estimate:
    """AUC of cases that come several to a patient, with Obuchowski's variance for clustered data.

    The placement values of a patient's cases are summed, so that patients and not cases count as independent
    (Obuchowski 1997). The interval is symmetric on the logit scale, as in :func:`auc_delong`, with the quantile of
    Student's t for one degree of freedom less than there are patients.

    Parameters
    ----------
    patients
        Whom each case belongs to, (n,).

    Returns
    -------
    The interval is NaN where fewer than two patients have a case of a class, or the variance vanishes, as with
    perfectly separated classes.

    Raises
    ------
    InvalidInputError
        As :func:`auc`, or if the patients differ in number from the labels.
    """
    from scipy.stats import t

    truth = as_labels(labels)
    if len(patients) != truth.size:
        raise InvalidInputError(f"There are {len(patients)} patients for {truth.size} labels; expected one for each.")
    of_positives, of_negatives = _placements(truth, scores)
    area = float(of_positives.mean())
    names, owner = np.unique(as_names(patients, "patients"), return_inverse=True)

    def surplus(owners: NDArray[np.intp], placements: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(owners, weights=placements - area, minlength=names.size) / owners.size

    positive_patients, negative_patients = (np.unique(owner[part]).size for part in (truth, ~truth))
    if min(positive_patients, negative_patients) < 2:
        return Estimate.without_interval(area)
    of_patients = surplus(owner[truth], of_positives), surplus(owner[~truth], of_negatives)
    variance = sum(
        patients_of_class / (patients_of_class - 1) * float((own**2).sum())
        for patients_of_class, own in zip((positive_patients, negative_patients), of_patients, strict=True)
    ) + 2 * names.size / (names.size - 1) * float((of_patients[0] * of_patients[1]).sum())
    return _on_logit_scale(area, variance, float(t.ppf((1 + confidence) / 2, names.size - 1)), confidence)


def _on_logit_scale(area: float, variance: float, quantile: float, confidence: float) -> Estimate:
    """Interval of an AUC that is symmetric on the logit scale; NaN where the variance vanishes or is unknown."""
    from scipy.special import expit, logit

    if not variance > NO_VARIANCE or area in (0, 1):
        return Estimate.without_interval(area)
    half_width = quantile * math.sqrt(variance) / (area * (1 - area))
    lower, upper = expit(logit(area) + np.array([-half_width, half_width]))
    return Estimate(area, float(lower), float(upper), confidence)


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Points of the ROC curve, one for each distinct score, from (0, 0) to (1, 1).

    Raises
    ------
    InvalidInputError
        As :func:`auc`.
    """
    from sklearn import metrics

    truth = as_labels(labels)
    values = as_scores(scores, truth)
    by_class(truth, values)
    return RocCurve(*metrics.roc_curve(truth, values, drop_intermediate=False))


def youden_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """Cut with the largest sum of sensitivity and specificity, half way to the next lower score (Youden 1950).

    A score at or above it is called positive; the lowest of several such cuts.

    Raises
    ------
    InvalidInputError
        As :func:`auc`.
    """
    truth = as_labels(labels)
    positives, negatives = by_class(truth, as_scores(scores, truth))
    cuts = np.unique(np.concatenate([positives, negatives]))
    best = int(np.argmax(_shares_from(positives, cuts) - _shares_from(negatives, cuts)))
    return float(cuts[best] if best == 0 else (cuts[best] + cuts[best - 1]) / 2)


def roc_band(
    labels: ArrayLike, scores: ArrayLike, *, seed: int, repeats: int = 1000, confidence: float = 0.95
) -> RocBand:
    """ROC curve with a pointwise band from resampled patients of each class.

    Parameters
    ----------
    seed, repeats
        Of the bootstrap.

    Raises
    ------
    InvalidInputError
        As :func:`auc`.
    """
    truth = as_labels(labels)
    positives, negatives = by_class(truth, as_scores(scores, truth))
    random = np.random.default_rng(seed)
    curves = [
        _sensitivities(random.choice(positives, positives.size), random.choice(negatives, negatives.size))
        for _ in range(repeats)
    ]
    lower, upper = np.quantile(curves, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return RocBand(ROC_GRID, _sensitivities(positives, negatives), lower, upper)


def mean_roc_band(
    splits: Sequence[tuple[ArrayLike, ArrayLike]], *, training_cases: int, test_cases: int, confidence: float = 0.95
) -> RocBand:
    """Mean of the ROC curves of repeated splits, with the corrected resampled t interval at each point.

    The area under it is the mean AUC of the splits.

    Parameters
    ----------
    splits
        Labels and scores of the held-out cases of each split.
    training_cases, test_cases
        Number of cases on either side of each split.

    Raises
    ------
    InvalidInputError
        As :func:`auc` and :func:`preop.statistics.corrected_resampled_t`.
    """
    curves = []
    for labels, scores in splits:
        truth = as_labels(labels)
        curves.append(_sensitivities(*by_class(truth, as_scores(scores, truth))))
    points = [
        corrected_resampled_t(point, training_cases=training_cases, test_cases=test_cases, confidence=confidence)
        for point in np.transpose(curves)
    ]
    sensitivity = np.array([point.value for point in points])
    ends = [np.clip([point.lower for point in points], 0, 1), np.clip([point.upper for point in points], 0, 1)]
    # Where all curves meet, as at both ends of the plot, the band has no width.
    lower, upper = (np.where(np.isnan(end), sensitivity, end) for end in ends)
    return RocBand(ROC_GRID, sensitivity, lower, upper)


def _sensitivities(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sensitivity at each rate of false positives of the grid, along straight lines between the curve's points."""
    cuts = np.unique(np.concatenate([positives, negatives]))[::-1]
    true_rate = np.concatenate([[0.0], _shares_from(positives, cuts)])
    false_rate = np.concatenate([[0.0], _shares_from(negatives, cuts)])
    # Where the curve rises straight up, the mean of both ends keeps the area.
    right = np.interp(ROC_GRID, false_rate, true_rate)
    left = 1 - np.interp(1 - ROC_GRID, (1 - false_rate)[::-1], (1 - true_rate)[::-1])
    return np.asarray((left + right) / 2)


def _shares_from(scores: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the scores at or above each cut."""
    return np.asarray((scores.size - np.searchsorted(np.sort(scores), cuts, side="left")) / scores.size)


def _placements(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each positive the share of negatives below it, and for each negative the share of positives above it.

    Ties count one half. Found from how many scores lie below each, in n log n steps (Sun & Xu 2014).
    """
    truth = as_labels(labels)
    positives, negatives = by_class(truth, as_scores(scores, truth))
    levels = np.unique(np.concatenate([positives, negatives]), return_inverse=True)[1]
    positive_levels, negative_levels = levels[: positives.size], levels[positives.size :]
    return _shares_below(positive_levels, negative_levels), 1 - _shares_below(negative_levels, positive_levels)


def _shares_below(levels: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each level the share of the others below it, equal ones counting one half; levels count from 0 upwards."""
    counts = np.bincount(others, minlength=int(levels.max()) + 1)
    return np.asarray((counts.cumsum() - counts / 2)[levels] / others.size)


def _variance(of_positives: NDArray[np.float64], of_negatives: NDArray[np.float64]) -> float:
    """DeLong's variance of the mean placement; NaN with fewer than two cases of a class."""
    if min(of_positives.size, of_negatives.size) < 2:
        return math.nan
    return float(of_positives.var(ddof=1) / of_positives.size + of_negatives.var(ddof=1) / of_negatives.size)


def _normal_quantile(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + confidence) / 2))


def oracle_auc(probabilities: ArrayLike) -> float:
    """Area under the ROC curve that an observer who knows each patient's true probability can expect.

    By the Neyman-Pearson lemma no score does better. Over all pairs of patients, weighed by the probability
    p_i (1 - p_j) that i has the outcome and j has not, it is the share in which i has the larger probability
    (half where they are equal).

    Parameters
    ----------
    probabilities
        True probabilities of the patients (n,), n of 2 or more, not all 0 and not all 1.
    """
    p = as_numbers(probabilities, "probabilities")
    values, group = np.unique(p, return_inverse=True)
    negative = np.bincount(group, weights=1 - p, minlength=values.size)
    below = np.cumsum(negative) - negative
    # A patient is no pair with themselves; their own weight p (1 - p) leaves the tied pairs.
    ordered = float((p * (below + negative / 2)[group]).sum()) - float((p * (1 - p)).sum()) / 2
    pairs = float(p.sum() * (1 - p).sum() - (p * (1 - p)).sum())
    return ordered / pairs
