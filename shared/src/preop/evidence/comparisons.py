"""Whether a model is better than another on the same held-out patients."""

from __future__ import annotations

import math

from preop.evidence.figures import Comparison, Figure, Measure
from preop.statistics import AucComparison, Estimate

SIGNIFICANT = 0.05
"""Two-sided level of every paired test."""


def is_better(difference: float, p_value: float) -> bool:
    """Tell whether a difference, above 0 where the model is better, is shown."""
    return difference > 0 and p_value <= SIGNIFICANT


def is_worse(difference: float, p_value: float) -> bool:
    """Tell whether a difference, below 0 where the model is worse, is shown."""
    return is_better(-difference, p_value)


def auc_comparison(model: str, baseline: str, comparison: AucComparison | None) -> Comparison:
    """State the paired test of two AUCs; of patients with one outcome nothing can be said."""
    known = comparison is not None and not math.isnan(comparison.difference.value)
    return Comparison(
        model=model,
        baseline=baseline,
        measure="auc",
        difference=Figure.of(comparison.difference) if comparison and known else None,
        p_value=None if comparison is None or math.isnan(comparison.p_value) else comparison.p_value,
        significantly_better=bool(
            comparison is not None and is_better(comparison.difference.value, comparison.p_value)
        ),
    )


def interval_comparison(model: str, baseline: str, measure: Measure, difference: Estimate | None) -> Comparison:
    """State a difference without a test: the model is shown to be better where the whole interval is on its side."""
    lower_is_better = measure == "error_of_shares"
    shown = difference is not None and (difference.upper < 0 if lower_is_better else difference.lower > 0)
    return Comparison(
        model=model,
        baseline=baseline,
        measure=measure,
        difference=None if difference is None else Figure.of(difference),
        p_value=None,
        significantly_better=shown,
    )
