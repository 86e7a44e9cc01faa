"""Models on feature tables: fitting, validation with everything learned inside the folds, contributions."""

from preop.tabular.classifiers import Classifier
from preop.tabular.fitting import fit
from preop.tabular.logistic import Contribution, LogisticModel
from preop.tabular.model import TabularModel
from preop.tabular.permutation import PermutationTest
from preop.tabular.selection import Selection
from preop.tabular.settings import PipelineSettings
from preop.tabular.splits import RepeatedSplits
from preop.tabular.study import Question, Study, train_and_validate
from preop.tabular.survival import CoxModel, FollowUp, fit_cox
from preop.tabular.table import FeatureTable
from preop.tabular.validation import HeldOut, external_validation, leave_one_centre_out, nested_validation

__all__ = [
    "Classifier",
    "Contribution",
    "CoxModel",
    "FeatureTable",
    "FollowUp",
    "HeldOut",
    "LogisticModel",
    "PermutationTest",
    "PipelineSettings",
    "Question",
    "RepeatedSplits",
    "Selection",
    "Study",
    "TabularModel",
    "external_validation",
    "fit",
    "fit_cox",
    "leave_one_centre_out",
    "nested_validation",
    "train_and_validate",
]
