"""Numbers in, numbers out: discrimination, decisions, agreement, calibration, association and survival."""

from preop.statistics.agreement import Agreement
from preop.statistics.association import (
    LogisticRegression,
    OddsRatio,
    RankTest,
    TableTest,
    adjust_p_values,
    logistic_regression,
    mann_whitney,
    table_test,
)
from preop.statistics.binary import BinaryCounts, predictive_values
from preop.statistics.calibration import (
    CalibrationPoint,
    Recalibration,
    brier_score,
    calibration_curve,
    recalibrate,
    scaled_brier_score,
)
from preop.statistics.decisions import DecisionCurve, decision_curve
from preop.statistics.description import CohortRow, cohort_table
from preop.statistics.discrimination import (
    AucComparison,
    RocBand,
    RocCurve,
    auc,
    auc_bootstrap,
    auc_delong,
    compare_aucs,
    mean_roc_band,
    roc_band,
    roc_curve,
)
from preop.statistics.intervals import Estimate, PairedComparison, compare_resampled, corrected_resampled_t, wilson
from preop.statistics.reliability import intraclass_correlation
from preop.statistics.survival import SurvivalCurve, concordance, kaplan_meier, log_rank

__all__ = [
    "Agreement",
    "AucComparison",
    "BinaryCounts",
    "CalibrationPoint",
    "CohortRow",
    "DecisionCurve",
    "Estimate",
    "LogisticRegression",
    "OddsRatio",
    "PairedComparison",
    "RankTest",
    "Recalibration",
    "RocBand",
    "RocCurve",
    "SurvivalCurve",
    "TableTest",
    "adjust_p_values",
    "auc",
    "auc_bootstrap",
    "auc_delong",
    "brier_score",
    "calibration_curve",
    "cohort_table",
    "compare_aucs",
    "compare_resampled",
    "concordance",
    "corrected_resampled_t",
    "decision_curve",
    "intraclass_correlation",
    "kaplan_meier",
    "log_rank",
    "logistic_regression",
    "mann_whitney",
    "mean_roc_band",
    "predictive_values",
    "recalibrate",
    "roc_band",
    "roc_curve",
    "scaled_brier_score",
    "table_test",
    "wilson",
]
