"""Models on feature tables: fitting, validation with everything learned inside the folds, contributions."""

from preop.tabular.logistic import Contribution, LogisticModel, fit_logistic
from preop.tabular.validation import RepeatedSplits, validate

__all__ = ["Contribution", "LogisticModel", "RepeatedSplits", "fit_logistic", "validate"]
