"""What people look at: charts as Vega-Lite 5 specifications, and pages that stand alone in one file."""

from preop.report.bags import bag_training_page
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
from preop.report.pages import evaluation_page
from preop.report.sections import Figure, Section, Table, sections_page
from preop.report.stages import stage_training_page
from preop.report.training import training_page
from preop.report.way_evidence import way_figures
from preop.report.ways import ways_training_page

__all__ = [
    "Contribution",
    "Figure",
    "ScoredCase",
    "Section",
    "Table",
    "bag_training_page",
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
    "roc_band_chart",
    "roc_chart",
    "roc_comparison_chart",
    "score_chart",
    "sections_page",
    "share_chart",
    "stage_training_page",
    "strip_chart",
    "survival_chart",
    "to_svg",
    "training_page",
    "way_figures",
    "ways_training_page",
]
