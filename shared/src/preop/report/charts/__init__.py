"""Charts, by what they show."""

from preop.report.charts.base import VEGA_LITE_VERSION, Spec, to_svg
from preop.report.charts.calibration import calibration_chart, count_calibration_chart
from preop.report.charts.categories import confusion_chart, count_chart, found_chart
from preop.report.charts.discrimination import (
    ScoredCase,
    decision_chart,
    froc_chart,
    precision_chart,
    roc_band_chart,
    roc_chart,
    roc_comparison_chart,
    score_chart,
)
from preop.report.charts.estimates import (
    Contribution,
    composition_chart,
    contributions_chart,
    forest_chart,
    share_chart,
    strip_chart,
)
from preop.report.charts.survival import survival_chart

__all__ = [
    "VEGA_LITE_VERSION",
    "Contribution",
    "ScoredCase",
    "Spec",
    "calibration_chart",
    "composition_chart",
    "confusion_chart",
    "contributions_chart",
    "count_calibration_chart",
    "count_chart",
    "decision_chart",
    "forest_chart",
    "found_chart",
    "froc_chart",
    "precision_chart",
    "roc_band_chart",
    "roc_chart",
    "roc_comparison_chart",
    "score_chart",
    "share_chart",
    "strip_chart",
    "survival_chart",
    "to_svg",
]
