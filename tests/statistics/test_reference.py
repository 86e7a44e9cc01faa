"""Our statistics beside those of R, on public data: ``reference.json`` holds each figure and the call that made it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from preop.statistics import (
    Agreement,
    BinaryCounts,
    adjust_p_values,
    auc,
    auc_delong,
    brier_score,
    compare_aucs,
    compare_concordances,
    concordance,
    concordance_estimate,
    intraclass_correlation,
    kaplan_meier,
    log_rank,
    logistic_regression,
    mann_whitney,
    recalibrate,
    table_test,
    youden_threshold,
)
from tests.statistics.data_sets import data_sets

FIGURES = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))["figures"]
Column = np.ndarray[Any, Any]


def delong_variance(labels: Column, scores: Column) -> float:
    """From the interval, which is symmetric on the logit scale: half its width is z times the error over a (1 - a)."""
    found = auc_delong(labels, scores)
    half_width = np.log(found.upper / (1 - found.upper)) - np.log(found.value / (1 - found.value))
    return float((half_width / 1.959963984540054 * found.value * (1 - found.value)) ** 2)


def at_youden(labels: Column, scores: Column) -> BinaryCounts:
    return BinaryCounts.at_threshold(labels, scores, youden_threshold(labels, scores))


def logistic(data: SimpleNamespace) -> Any:
    scaled = np.column_stack([data.texture, 100 * data.smoothness])
    return logistic_regression(data.malignant, scaled, ["texture", "smoothness"], firth=False)


def firth(data: SimpleNamespace) -> Any:
    found = logistic_regression(data.outcome, np.column_stack([data.marker, data.age]), ["marker", "age"])
    assert found.firth
    return found


def agreement(first: Column, second: Column) -> Agreement:
    names = [f"{value:g}" for value in np.unique([*first, *second])]
    return Agreement.of([f"{value:g}" for value in first], [f"{value:g}" for value in second], names)


def texts(values: Column) -> list[str]:
    return values.astype(str).tolist()


def curve_at(data: SimpleNamespace, what: str) -> list[float]:
    curve = kaplan_meier(data.days, data.died)
    return [float(getattr(curve, what)[curve.times <= day][-1]) for day in (180, 365)]


def variance_of_concordance(data: SimpleNamespace) -> float:
    """From the interval, which is symmetric on the logit scale."""
    found = concordance_estimate(data.days, data.died, data.age)
    half_width = np.log(found.upper / (1 - found.upper)) - np.log(found.value / (1 - found.value))
    return float((half_width / 1.959963984540054 * found.value * (1 - found.value)) ** 2)


def variance_of_difference(data: SimpleNamespace) -> float:
    """From the interval: Student's t, with the variance of as many patients less one."""
    difference = compare_concordances(data.days, data.died, data.age, -data.physician).difference
    patients = data.days.size
    error = (difference.upper - difference.value) / float(t.ppf(0.975, patients - 1))
    return error**2 * (patients - 1) / patients


OURS: dict[tuple[str, str], Callable[[SimpleNamespace], float | Sequence[float] | Column]] = {
    ("cancer", "auc"): lambda d: auc(d.malignant, d.texture),
    ("cancer", "delong variance"): lambda d: delong_variance(d.malignant, d.texture),
    ("cancer", "delong paired p"): lambda d: compare_aucs(d.malignant, d.texture, d.smoothness).p_value,
    ("cancer", "delong paired difference"): lambda d: (
        compare_aucs(d.malignant, d.texture, d.smoothness).difference.value
    ),
    ("cancer", "mann-whitney p"): lambda d: mann_whitney(d.malignant, d.texture).p_value,
    ("cancer", "youden sensitivity and specificity"): lambda d: [
        at_youden(d.malignant, d.texture).sensitivity.value,
        at_youden(d.malignant, d.texture).specificity.value,
    ],
    ("cancer", "wilson of sensitivity"): lambda d: [
        BinaryCounts.at_threshold(d.malignant, d.texture, 20).sensitivity.lower,
        BinaryCounts.at_threshold(d.malignant, d.texture, 20).sensitivity.upper,
    ],
    ("cancer", "logistic odds ratios"): lambda d: [each.odds_ratio.value for each in logistic(d).variables],
    ("cancer", "logistic intercept"): lambda d: logistic(d).intercept,
    ("cancer", "likelihood ratio p of smoothness"): lambda d: logistic(d).variables[1].p_value,
    ("cancer", "calibration slope of smoothness"): lambda d: recalibrate(d.malignant, 5 * d.smoothness).slope.value,
    ("cancer", "calibration in the large of smoothness"): lambda d: (
        recalibrate(d.malignant, 5 * d.smoothness).intercept.value
    ),
    ("cancer", "brier score of smoothness"): lambda d: brier_score(d.malignant, 5 * d.smoothness),
    ("spector", "auc"): lambda d: auc(d.grade, d.gpa),
    ("spector", "fisher p of method"): lambda d: table_test(d.grade, texts(d.method)).p_value,
    ("spector", "fisher p of score in thirds"): lambda d: (
        table_test(d.grade, texts(np.digitize(d.score, [20.5, 24.5]))).p_value
    ),
    ("spector", "mann-whitney p"): lambda d: mann_whitney(d.grade, d.gpa).p_value,
    ("spector", "profile interval of gpa"): lambda d: [
        getattr(logistic_regression(d.grade, d.gpa[:, None], ["gpa"], firth=False).variables[0].odds_ratio, end)
        for end in ("lower", "upper")
    ],
    ("separated", "firth odds ratios"): lambda d: [each.odds_ratio.value for each in firth(d).variables],
    ("separated", "firth intercept"): lambda d: firth(d).intercept,
    ("lung", "kaplan-meier at 180 and 365 days"): lambda d: curve_at(d, "free"),
    ("lung", "kaplan-meier lower"): lambda d: curve_at(d, "lower"),
    ("lung", "kaplan-meier upper"): lambda d: curve_at(d, "upper"),
    ("lung", "log-rank p of sex"): lambda d: log_rank(d.days, d.died, texts(d.sex)),
    ("lung", "concordance of age"): lambda d: concordance(d.days, d.died, d.age),
    ("lung", "concordance variance of age"): variance_of_concordance,
    ("lung", "concordance difference of age and physician"): lambda d: (
        compare_concordances(d.days, d.died, d.age, -d.physician).difference.value
    ),
    ("lung", "concordance difference variance"): variance_of_difference,
    ("lung", "kappa of physician and patient"): lambda d: agreement(d.physician, d.patient).kappa.value,
    ("lung", "chi-square p of sex"): lambda d: table_test(d.died, texts(d.sex)).p_value,
    ("stages", "kappa"): lambda d: agreement(d.first, d.second).kappa.value,
    ("stages", "quadratic weighted kappa"): lambda d: agreement(d.first, d.second).quadratic_weighted_kappa.value,
    ("stages", "ordinal auc"): lambda d: agreement(d.first, d.second).ordinal_auc.value,
    ("stages", "ordinal auc from the auc of each pair of stages"): lambda d: (
        agreement(d.first, d.second).ordinal_auc.value
    ),
    ("iris", "icc(2,1) of length and width"): lambda d: intraclass_correlation(
        np.stack([d.sepal_length, d.sepal_width, d.petal_length])[:, :, None]
    ),
    ("iris", "chi-square p"): lambda d: table_test(d.sepal_length > 5.8, texts(d.species)).p_value,
    ("p values", "holm"): lambda d: adjust_p_values(d.values, method="holm"),
    ("p values", "benjamini-hochberg"): lambda d: adjust_p_values(d.values, method="benjamini-hochberg"),
}


def test_every_figure_of_r_is_compared() -> None:
    assert sorted(OURS) == sorted((figure["data"], figure["name"]) for figure in FIGURES)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure['data']}: {figure['name']}")
def test_our_figure_is_that_of_r(figure: dict[str, Any]) -> None:
    found = OURS[figure["data"], figure["name"]](SimpleNamespace(**data_sets()[figure["data"]]))
    assert np.ravel(found).tolist() == pytest.approx(figure["values"], rel=1e-6, abs=0), figure["call"]
