"""Numbers in, numbers out: discrimination, decisions, agreement and calibration, each with its interval."""

from preop.statistics.agreement import Agreement
from preop.statistics.binary import BinaryCounts
from preop.statistics.calibration import (
    CalibrationPoint,
    Recalibration,
    brier_score,
    calibration_curve,
    recalibrate,
    scaled_brier_score,
)
from preop.statistics.discrimination import AucComparison, RocCurve, auc, auc_delong, compare_aucs, roc_curve
from preop.statistics.intervals import Estimate, corrected_resampled_t, wilson

__all__ = [
    "Agreement",
    "AucComparison",
    "BinaryCounts",
    "CalibrationPoint",
    "Estimate",
    "Recalibration",
    "RocCurve",
    "auc",
    "auc_delong",
    "brier_score",
    "calibration_curve",
    "compare_aucs",
    "corrected_resampled_t",
    "recalibrate",
    "roc_curve",
    "scaled_brier_score",
    "wilson",
]
