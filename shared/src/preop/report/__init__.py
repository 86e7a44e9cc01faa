"""What people look at: charts as Vega-Lite 5 specifications, and pages that stand alone in one file."""

from preop.report.charts import (
    Contribution,
    ScoredCase,
    calibration_chart,
    composition_chart,
    confusion_chart,
    contributions_chart,
    count_calibration_chart,
    count_chart,
    decision_chart,
    forest_chart,
    found_chart,
    roc_band_chart,
    roc_chart,
    roc_comparison_chart,
    score_chart,
    share_chart,
    strip_chart,
    survival_chart,
    to_svg,
)
from preop.report.evaluation import evaluation_page
from preop.report.index import StudyEntry, index_page
from preop.report.predictions import predictions_page
from preop.report.sections import Page, Section, write_page
from preop.report.training import training_report, write_report

__all__ = [
    "Contribution",
    "Page",
    "ScoredCase",
    "Section",
    "StudyEntry",
    "calibration_chart",
    "composition_chart",
    "confusion_chart",
    "contributions_chart",
    "count_calibration_chart",
    "count_chart",
    "decision_chart",
    "evaluation_page",
    "forest_chart",
    "found_chart",
    "index_page",
    "predictions_page",
    "roc_band_chart",
    "roc_chart",
    "roc_comparison_chart",
    "score_chart",
    "share_chart",
    "strip_chart",
    "survival_chart",
    "to_svg",
    "training_report",
    "write_page",
    "write_report",
]
