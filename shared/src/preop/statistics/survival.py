"""Time to an event: Kaplan-Meier curves, the log-rank test and Harrell's concordance, by lifelines.

References
----------
Kaplan EL, Meier P. Nonparametric estimation from incomplete observations. J Am Stat Assoc 1958;53:457-81.
Harrell FE, Lee KL, Mark DB. Multivariable prognostic models. Stat Med 1996;15:361-87.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError, need_package
from preop.statistics.checks import as_labels, as_names, as_numbers, as_scores


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


def _checked(times: ArrayLike, events: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    happened = as_labels(events)
    durations = as_numbers(times, "times")
    if durations.shape != happened.shape or not (np.isfinite(durations) & (durations >= 0)).all():
        raise InvalidInputError(
            f"The times are of shape {durations.shape} for {happened.size} events; "
            "expected one finite time of at least 0 for each."
        )
    return durations, happened
