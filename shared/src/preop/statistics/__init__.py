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
    auc_clustered,
    auc_delong,
    compare_aucs,
    mean_roc_band,
    oracle_auc,
    roc_band,
    roc_curve,
    youden_threshold,
)
from preop.statistics.forecasts import (
    CountPoint,
    Coverage,
    central_coverage,
    count_calibration,
    distribution_of_the_others,
    ranked_probability_scores,
)
from preop.statistics.intervals import (
    Estimate,
    PairedComparison,
    compare_resampled,
    corrected_resampled_t,
    mean_bootstrap,
    mean_estimate,
    wilson,
)
from preop.statistics.reliability import intraclass_correlation
from preop.statistics.survival import SurvivalCurve, concordance, kaplan_meier, log_rank
from preop.statistics.wording import difference_in_words, p_value_in_words

__all__ = [
    "Agreement",
    "AucComparison",
    "BinaryCounts",
    "CalibrationPoint",
    "CohortRow",
    "CountPoint",
    "Coverage",
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
    "auc_clustered",
    "auc_delong",
    "brier_score",
    "calibration_curve",
    "central_coverage",
    "cohort_table",
    "compare_aucs",
    "compare_resampled",
    "concordance",
    "corrected_resampled_t",
    "count_calibration",
    "decision_curve",
    "difference_in_words",
    "distribution_of_the_others",
    "intraclass_correlation",
    "kaplan_meier",
    "log_rank",
    "logistic_regression",
    "mann_whitney",
    "mean_bootstrap",
    "mean_estimate",
    "mean_roc_band",
    "oracle_auc",
    "p_value_in_words",
    "predictive_values",
    "ranked_probability_scores",
    "recalibrate",
    "roc_band",
    "roc_curve",
    "scaled_brier_score",
    "table_test",
    "wilson",
    "youden_threshold",
]
