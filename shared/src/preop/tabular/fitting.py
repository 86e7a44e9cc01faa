"""Fitting of a pipeline: everything it learns, it learns from the rows it is given, and chooses by their inner folds.

References
----------
Hastie T, Tibshirani R, Friedman J. The elements of statistical learning, 2nd ed. 2009, section 7.10 (the one standard
error rule; selection inside the folds).
Platt J. Probabilistic outputs for support vector machines. Advances in large margin classifiers 1999:61-74.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, need_package
from preop.statistics import youden_threshold
from preop.tabular.classifiers import CAPACITIES, Classifier, Fitted, fit_classifier
from preop.tabular.model import Member, Recipe, TabularModel
from preop.tabular.preparation import Preparation, kept_columns, learn_preparation
from preop.tabular.selection import Selection, best_columns
from preop.tabular.settings import PipelineSettings
from preop.tabular.splits import inner_folds
from preop.tabular.table import FeatureTable, Index

QUANTILES = np.linspace(0, 1, 21)  # every 5 % of the training rows
# Recalibration never turns a classifier round: one that knows nothing predicts about the prevalence for all.
_SMALLEST_SLOPE = 0.01


@dataclass(frozen=True, eq=False)
class _Calibration:
    slope: float
    intercept: float

    def apply(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.intercept + self.slope * log_odds)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A recipe and how it did on the inner folds.

    Attributes
    ----------
    log_odds
        Out-of-fold prediction of each training row after calibration, (r,).
    losses
        Negative log likelihood of each, (r,).
    """

    recipe: Recipe
    calibration: _Calibration
    log_odds: NDArray[np.float64]
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        return float(self.losses.mean())


class _Rows:
    """Training rows as classifiers see them: complete and scaled; each order of columns is found once."""

    def __init__(self, table: FeatureTable, settings: PipelineSettings) -> None:
        self.table = table
        self.settings = settings
        self.preparation = learn_preparation(table, minimum_icc=settings.minimum_icc)
        if not self.preparation.columns:
            raise InvalidInputError(
                f"None of {len(table.columns)} features can be used: each is missing in most patients, is nearly the "
                "same in all, or changes when it is measured again."
            )
        self.values = self._prepare(self.preparation, table)
        self.kept = kept_columns(self.preparation.columns, settings.kept)
        self._orders: dict[Selection, Index] = {}

    def order(self, selection: Selection) -> Index:
        """Columns that a recipe takes the first of."""
        if selection not in self._orders:
            self._orders[selection] = best_columns(
                selection,
                self.values,
                self.table.outcome,
                most=max(self.settings.max_features),
                maximum_correlation=self.settings.maximum_correlation,
                kept=self.kept,
            )
        return self._orders[selection]

    def predict(self, recipe: Recipe, others: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fit a recipe and give the log odds of other rows, prepared by :meth:`prepare`."""
        chosen = self.order(recipe.selection)[: recipe.features]
        return self._fit(recipe, chosen).log_odds(others[:, chosen])

    def prepare(self, others: FeatureTable) -> NDArray[np.float64]:
        """Prepare other rows in the way that was learned from these."""
        return self._prepare(self.preparation, others.select(self.preparation.columns))

    def member(self, recipe: Recipe, calibration: _Calibration) -> Member:
        """Fit a recipe for good."""
        chosen = self.order(recipe.selection)[: recipe.features]
        preparation = self.preparation.select(chosen)
        raw = self.table.select(preparation.columns).values
        return Member(
            recipe,
            preparation,
            self._fit(recipe, chosen),
            calibration.slope,
            calibration.intercept,
            np.nanquantile(raw, QUANTILES, axis=0),
        )

    def _fit(self, recipe: Recipe, chosen: Index) -> Fitted:
        return fit_classifier(
            recipe.classifier,
            recipe.capacity,
            self.values[:, chosen],
            self.table.outcome,
            seed=self.settings.seed,
        )

    @staticmethod
    def _prepare(preparation: Preparation, table: FeatureTable) -> NDArray[np.float64]:
        values = table.values if table.columns == preparation.columns else table.select(preparation.columns).values
        return preparation.apply(values, table.centres)


class _InnerFolds:
    """The inner folds of training rows, and every recipe tried on them."""

    def __init__(self, table: FeatureTable, settings: PipelineSettings) -> None:
        self.outcome = table.outcome
        self.calibrate = settings.calibrate
        self.folds: list[tuple[_Rows, Index, NDArray[np.float64]]] = []
        for train, test in inner_folds(table.outcome, table.groups, seed=settings.seed):
            rows = _Rows(table.rows(train), settings)
            self.folds.append((rows, test, rows.prepare(table.rows(test))))
        self.tried: dict[Recipe, _Candidate] = {}

    def run_test_case(self, recipe: Recipe) -> _Candidate:
        """Predict every row by what its fold's other rows teach, and calibrate that."""
        if recipe not in self.tried:
            log_odds = np.empty(self.outcome.size)
            for rows, test, values in self.folds:
                log_odds[test] = rows.predict(recipe, values)
            calibration = _calibration(log_odds, self.outcome) if self.calibrate else _Calibration(1.0, 0.0)
            calibrated = calibration.apply(log_odds)
            losses = np.logaddexp(0, np.where(self.outcome, -calibrated, calibrated))
            self.tried[recipe] = _Candidate(recipe, calibration, calibrated, losses)
        return self.tried[recipe]


def fit(table: FeatureTable, settings: PipelineSettings) -> TabularModel:
    """Fit a model.

    In each inner fold the columns are prepared and put in order, and each candidate recipe is fitted and asked for the
    rest; the candidate with the smallest log loss, or the best few, are fitted on all rows. Calibration and threshold
    come from the same out-of-fold predictions.

    Raises
    ------
    InvalidInputError
        If there are fewer than two patients with or without the event, or no column can be used.
    MissingToolError
        If the settings ask for what is not installed.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums of the algebra below numpy depend on its threads in the last bits
        return _fit(table, settings)


def _fit(table: FeatureTable, settings: PipelineSettings) -> TabularModel:
    from scipy.special import expit

    rows, folds = _Rows(table, settings), _InnerFolds(table, settings)
    search = _optuna_search if settings.search == "optuna" else _grid_search
    search(settings, _sizes(rows, settings), max(len(rows.kept), 1), folds.run_test_case)
    best = _ranked(list(folds.tried.values()), one_standard_error=settings.one_standard_error)[: settings.ensemble]
    out_of_fold = expit(np.mean([candidate.log_odds for candidate in best], axis=0))
    return TabularModel(
        members=tuple(rows.member(candidate.recipe, candidate.calibration) for candidate in best),
        threshold=youden_threshold(table.outcome, out_of_fold),
        out_of_fold_quantiles=tuple(np.quantile(out_of_fold, QUANTILES).tolist()),
    )


def _sizes(rows: _Rows, settings: PipelineSettings) -> list[int]:
    """Numbers of features worth trying, those that are kept among them: none beyond what there is."""
    available = len(rows.preparation.columns)
    return sorted({min(len(rows.kept) + size, available) for size in settings.max_features})


def _grid_search(
    settings: PipelineSettings, sizes: list[int], _fewest: int, run_test_case: Callable[[Recipe], _Candidate]
) -> None:
    for classifier, selection, size in product(settings.classifiers, settings.selections, sizes):
        for capacity in CAPACITIES[classifier]:
            run_test_case(Recipe(size, capacity, classifier, selection))


def _optuna_search(
    settings: PipelineSettings, sizes: list[int], fewest: int, run_test_case: Callable[[Recipe], _Candidate]
) -> None:
    need_package("optuna", "A free search", "training")
    import optuna

    def objective(trial: optuna.Trial) -> float:
        classifier = Classifier(trial.suggest_categorical("classifier", [str(kind) for kind in settings.classifiers]))
        selection = Selection(trial.suggest_categorical("selection", [str(kind) for kind in settings.selections]))
        features = trial.suggest_int("features", fewest, max(sizes), log=True)
        least, most = CAPACITIES[classifier][0], CAPACITIES[classifier][-1]
        capacity = trial.suggest_float(f"capacity of {classifier}", least, most, log=True)
        if classifier in {Classifier.FOREST, Classifier.BOOSTING}:
            capacity = float(round(capacity))
        return run_test_case(Recipe(features, capacity, classifier, selection)).loss

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    study.optimize(objective, n_trials=settings.trials)


def _ranked(candidates: list[_Candidate], *, one_standard_error: bool) -> list[_Candidate]:
    """Best candidate first; by the rule, those within one standard error of it come first, the simplest leading."""
    ranked = sorted(candidates, key=lambda candidate: (candidate.loss, candidate.recipe))
    if not one_standard_error:
        return ranked
    best = ranked[0]
    limit = best.loss + float(best.losses.std(ddof=1)) / np.sqrt(best.losses.size)
    within = [candidate for candidate in ranked if candidate.loss <= limit]
    return [*sorted(within, key=lambda candidate: candidate.recipe), *ranked[len(within) :]]


def _calibration(log_odds: NDArray[np.float64], outcome: NDArray[np.bool_]) -> _Calibration:
    """Slope and intercept of a logistic regression on out-of-fold log odds (Platt 1999).

    A weak penalty on the slope keeps it finite where the classes separate.
    """
    from sklearn.linear_model import LogisticRegression

    spread = float(log_odds.std())
    if spread == 0:
        return _Calibration(1.0, 0.0)
    centre = float(log_odds.mean())
    regression = LogisticRegression(C=1.0).fit(((log_odds - centre) / spread)[:, None], outcome)
    slope = max(float(regression.coef_[0, 0]), _SMALLEST_SLOPE) / spread
    return _Calibration(slope, float(regression.intercept_[0]) - slope * centre)
