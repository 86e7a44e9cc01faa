"""Time to an event: Kaplan-Meier curves, the log-rank test and Harrell's concordance, by lifelines.

References
----------
Kaplan EL, Meier P. Nonparametric estimation from incomplete observations. J Am Stat Assoc 1958;53:457-81.
Harrell FE, Lee KL, Mark DB. Multivariable prognostic models. Stat Med 1996;15:361-87.
Kang L, Chen W, Petrick NA, Gallas BD. Comparing two correlated C indices with right-censored survival outcome: a one-shot
nonparametric approach. Stat Med 2015;34:685-703.
Therneau TM, Atkinson E. Concordance. Vignette of the R package survival, 2024 (infinitesimal jackknife).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError, need_package
from preop.statistics.checks import as_labels, as_names, as_numbers, as_probabilities, as_scores
from preop.statistics.intervals import Estimate, PairedComparison

# All pairs of so many cases are gone through in seconds.
_MOST_FOR_PAIRS = 20_000
_PAIRS_AT_ONCE = 4_000_000
# Two risks that order all cases alike differ by rounding.
_NO_INFLUENCE = 1e-12


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Share of patients without the event over time, (m,) each; it falls in steps.

    Attributes
    ----------
    times
        From 0 on, each time at which a patient had the event or was last seen.
    free
        Share still free of the event from that time on.
    lower, upper
        Its interval, by Greenwood's variance on the log-log scale.
    at_risk
        Patients under observation until that time.
    """

    times: NDArray[np.float64]
    free: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    at_risk: NDArray[np.int64]


def kaplan_meier(times: ArrayLike, events: ArrayLike) -> SurvivalCurve:
    """Estimate the share free of an event from times (n,) and whether each ended in the event (n,).

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, or a time is not a number of at least 0.
    MissingToolError
        If lifelines is not installed.
    """
    durations, happened = _checked(times, events)
    need_package("lifelines", "Time to event", "training")
    from lifelines import KaplanMeierFitter

    fitter = KaplanMeierFitter().fit(durations, happened)
    interval = fitter.confidence_interval_.to_numpy(np.float64)
    return SurvivalCurve(
        times=fitter.survival_function_.index.to_numpy(np.float64),
        free=fitter.survival_function_.iloc[:, 0].to_numpy(np.float64),
        lower=interval[:, 0],
        upper=interval[:, 1],
        at_risk=fitter.event_table["at_risk"].to_numpy(np.int64),
    )


def log_rank(times: ArrayLike, events: ArrayLike, groups: Sequence[str]) -> float:
    """Two-sided p-value of no difference in survival between groups (n,).

    Raises
    ------
    InvalidInputError
        As :func:`kaplan_meier`, or if there is one group only.
    MissingToolError
        If lifelines is not installed.
    """
    durations, happened = _checked(times, events)
    names = as_names(groups, "groups")
    if np.unique(names).size < 2 or len(groups) != durations.size:
        raise InvalidInputError(
            f"There are {np.unique(names).size} groups of {len(groups)} patients; expected at least two."
        )
    need_package("lifelines", "Time to event", "training")
    from lifelines.statistics import multivariate_logrank_test

    return float(multivariate_logrank_test(durations, names, happened).p_value)


def concordance(times: ArrayLike, events: ArrayLike, risks: ArrayLike) -> float:
    """Harrell's C: how often, of two patients that can be compared, the one with the higher risk has the event first.

    Raises
    ------
    InvalidInputError
        As :func:`kaplan_meier`, or if no two patients can be compared.
    MissingToolError
        If lifelines is not installed.
    """
    durations, happened = _checked(times, events)
    need_package("lifelines", "Time to event", "training")
    from lifelines.utils import concordance_index

    try:
        return float(concordance_index(durations, -as_scores(risks, happened), happened))
    except ZeroDivisionError:
        raise InvalidInputError("No two patients can be compared: none had the event while another was seen.") from None


def concordance_estimate(
    times: ArrayLike, events: ArrayLike, risks: ArrayLike, *, owners: NDArray[np.intp] | None = None
) -> Estimate:
    """Harrell's C with an interval, symmetric on the logit scale, by the infinitesimal jackknife.

    Parameters
    ----------
    owners
        Number of the patient of each case (n,), where several are of one: the interval is then by patient.

    Returns
    -------
    The interval is NaN where the variance vanishes, and with more than 20,000 cases, whose pairs are too many to go through.

    Raises
    ------
    InvalidInputError
        As :func:`concordance`.
    MissingToolError
        If lifelines is not installed.
    """
    from scipy.special import expit, logit
    from scipy.stats import norm

    value = concordance(times, events, risks)
    durations, happened = _checked(times, events)
    if durations.size > _MOST_FOR_PAIRS or value in (0, 1):
        return Estimate.without_interval(value)
    excess = _pair_excess(durations, happened, as_scores(risks, happened), value)
    influence = excess if owners is None else np.bincount(owners, weights=excess)
    error = float(np.sqrt((influence**2).sum()))
    if not error > 0:
        return Estimate.without_interval(value)
    half_width = float(norm.ppf(0.975)) * error / (value * (1 - value))
    lower, upper = expit(logit(value) + np.array([-half_width, half_width]))
    return Estimate(value, float(lower), float(upper))


def compare_concordances(
    times: ArrayLike,
    events: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    owners: NDArray[np.intp] | None = None,
) -> PairedComparison:
    """Difference of Harrell's C of two risks on the same cases (n,), by the infinitesimal jackknife (Kang 2015).

    Parameters
    ----------
    first, second
        Risks, each on a scale of its own.
    owners
        Number of the patient of each case (n,), where several are of one: then by patient.

    Returns
    -------
    Interval and p-value by Student's t on as many degrees of freedom as there are patients less one; NaN where the variance
    vanishes, and with more than 20,000 cases.

    Raises
    ------
    InvalidInputError
        As :func:`concordance`.
    MissingToolError
        If lifelines is not installed.
    """
    from scipy.stats import t

    values = [concordance(times, events, risks) for risks in (first, second)]
    difference = values[0] - values[1]
    durations, happened = _checked(times, events)
    if durations.size > _MOST_FOR_PAIRS:
        return PairedComparison(Estimate.without_interval(difference), math.nan)
    one, other = (
        _pair_excess(durations, happened, as_scores(risks, happened), value)
        for risks, value in zip((first, second), values, strict=True)
    )
    influence = one - other if owners is None else np.bincount(owners, weights=one - other)
    patients = influence.size
    if patients < 2 or not np.abs(influence).max() > _NO_INFLUENCE:
        return PairedComparison(Estimate.without_interval(difference), math.nan)
    error = float(np.sqrt(patients / (patients - 1) * (influence**2).sum()))
    half_width = float(t.ppf(0.975, patients - 1)) * error
    ends = Estimate(difference, difference - half_width, difference + half_width).within(-1, 1)
    return PairedComparison(ends, float(2 * t.sf(abs(difference) / error, patients - 1)))


def _pair_excess(
    times: NDArray[np.float64], happened: NDArray[np.bool_], risks: NDArray[np.float64], value: float
) -> NDArray[np.float64]:
    """Influence of each case on C: what its pairs have above C, of all pairs that can be compared, (n,)."""
    excess, pairs = np.zeros(times.size), 0
    rows_at_once = max(1, _PAIRS_AT_ONCE // times.size)
    for start in range(0, times.size, rows_at_once):
        rows = slice(start, start + rows_at_once)
        later = (times > times[rows, None]) | ((times == times[rows, None]) & ~happened)
        comparable = later & happened[rows, None]
        difference = risks[rows, None] - risks
        above = np.where(comparable, (difference > 0) + 0.5 * (difference == 0) - value, 0.0)
        excess[rows] += above.sum(axis=1)
        excess += above.sum(axis=0)
        pairs += int(comparable.sum())
    return excess / pairs


@dataclass(frozen=True)
class HorizonPoint:
    """One group of similar predicted risks.

    Attributes
    ----------
    predicted
        Mean predicted probability of the event by the horizon.
    observed
        Share with the event by then, by Kaplan and Meier, with its interval.
    cases
        Number of cases.
    """

    predicted: float
    observed: Estimate
    cases: int


def event_share(times: ArrayLike, events: ArrayLike, horizon: float) -> Estimate | None:
    """Share with the event by a horizon, by Kaplan and Meier; None where nobody was seen for so long.

    Raises
    ------
    InvalidInputError
        As :func:`kaplan_meier`.
    """
    curve = kaplan_meier(times, events)
    durations, happened = _checked(times, events)
    # Beyond the last one seen the curve says nothing, unless it has come down to 0.
    if durations.max() < horizon and not (happened[durations == durations.max()].all() and curve.free[-1] <= 0):
        return None
    place = int(np.searchsorted(curve.times, horizon, side="right")) - 1
    return Estimate(float(1 - curve.free[place]), float(1 - curve.upper[place]), float(1 - curve.lower[place]))


def horizon_calibration(
    times: ArrayLike, events: ArrayLike, probabilities: ArrayLike, horizon: float, *, groups: int
) -> list[HorizonPoint]:
    """Observed against predicted share with the event by a horizon, in groups of similar predictions.

    Equal predictions stay together; a group in which nobody was seen for so long is left out.

    Raises
    ------
    InvalidInputError
        As :func:`kaplan_meier`, or if a probability is not between 0 and 1.
    """
    durations, happened = _checked(times, events)
    values = as_probabilities(probabilities, happened)
    edges = np.unique(np.quantile(values, np.arange(1, groups) / groups))
    group_of_case = np.searchsorted(edges, values, side="left")
    points = []
    for group in np.unique(group_of_case):
        inside = group_of_case == group
        observed = event_share(durations[inside], happened[inside], horizon)
        if observed is not None:
            points.append(HorizonPoint(float(values[inside].mean()), observed, int(inside.sum())))
    return points


def _checked(times: ArrayLike, events: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    happened = as_labels(events)
    durations = as_numbers(times, "times")
    if durations.shape != happened.shape or not (np.isfinite(durations) & (durations >= 0)).all():
        raise InvalidInputError(
            f"The times are of shape {durations.shape} for {happened.size} events; "
            "expected one finite time of at least 0 for each."
        )
    return durations, happened
