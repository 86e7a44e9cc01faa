"""A fitted model on a feature table: one member, or several whose log odds are averaged, and the threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidModelError
from preop.tabular.classifiers import Classifier, EstimatorClassifier, Fitted, LinearClassifier
from preop.tabular.estimators import dump_estimator, load_estimator
from preop.tabular.harmonisation import Adjustment
from preop.tabular.logistic import LogisticModel, Term
from preop.tabular.preparation import Preparation
from preop.tabular.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS_FILE = "tabular.json"


@dataclass(frozen=True, order=True)
class Recipe:
    """How a member is made; of two, the smaller is the simpler one.

    Attributes
    ----------
    features
        Most columns it is built on.
    capacity
        How freely its classifier may follow the training rows.
    classifier, selection
        Of which kind.
    """

    features: int
    capacity: float
    classifier: Classifier
    selection: Selection


@dataclass(frozen=True, eq=False)
class Member:
    """One fitted pipeline.

    Attributes
    ----------
    recipe
        How it was made.
    preparation
        Of the columns it is built on, f of them.
    classifier
        What it ends in.
    slope, intercept
        Calibration of its log odds.
    quantiles
        Training values of each column at 0, 5, ..., 100 %, (21, f).
    """

    recipe: Recipe
    preparation: Preparation
    classifier: Fitted
    slope: float
    intercept: float
    quantiles: NDArray[np.float64]

    @property
    def columns(self) -> tuple[str, ...]:
        """What it is built on."""
        return self.preparation.columns

    def log_odds(self, values: NDArray[np.float64], centres: NDArray[np.str_]) -> NDArray[np.float64]:
        """Calibrated log odds of rows of its columns (r, f)."""
        return self.intercept + self.slope * self.classifier.log_odds(self.preparation.apply(values, centres))


@dataclass(frozen=True, eq=False)
class TabularModel:
    """A fitted model.

    Attributes
    ----------
    members
        Fitted pipelines; the model's log odds are the mean of theirs.
    threshold
        Probability from which a row counts as positive: Youden's index on inner out-of-fold predictions.
    out_of_fold_quantiles
        Inner out-of-fold probabilities of the training rows at 0, 5, ..., 100 %.
    """

    members: tuple[Member, ...]
    threshold: float
    out_of_fold_quantiles: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What it is built on, of all members."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.columns))

    def probabilities(self, table: pd.DataFrame, centres: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Predicted probability of each row of a table.

        Parameters
        ----------
        table
            An absent column counts as missing, as does NaN.
        centres
            Where each row comes from; a row of a centre that is not known to the model is not harmonised.
        """
        from scipy.special import expit

        places = np.array([""] * len(table) if centres is None else list(centres), dtype=np.str_)
        log_odds = [
            member.log_odds(table.reindex(columns=list(member.columns)).to_numpy(np.float64), places)
            for member in self.members
        ]
        return np.asarray(expit(np.mean(log_odds, axis=0)))

    @property
    def coefficients(self) -> dict[str, float] | None:
        """Log odds for each standard deviation, by column; None where a member is not linear."""
        sums: dict[str, float] = {}
        for member in self.members:
            if not isinstance(member.classifier, LinearClassifier):
                return None
            for name, coefficient in zip(member.columns, member.classifier.coefficients, strict=True):
                sums[name] = sums.get(name, 0.0) + member.slope * float(coefficient) / len(self.members)
        return sums

    @property
    def logistic(self) -> LogisticModel | None:
        """The same model as one table of numbers; None where a member is not linear, or is harmonised."""
        coefficients = self.coefficients
        if coefficients is None or any(member.preparation.adjustments for member in self.members):
            return None
        terms = {}
        for member in self.members:
            part = member.preparation
            for index, name in enumerate(part.columns):
                terms[name] = Term(
                    name=name,
                    coefficient=coefficients[name],
                    median=float(part.median[index]),
                    mean=float(part.mean[index]),
                    standard_deviation=float(part.standard_deviation[index]),
                    quantiles=tuple(member.quantiles[:, index].tolist()),
                )
        intercepts = [
            member.intercept + member.slope * member.classifier.intercept
            for member in self.members
            if isinstance(member.classifier, LinearClassifier)
        ]
        return LogisticModel(
            terms=tuple(terms.values()),
            intercept=math.fsum(intercepts) / len(intercepts),
            threshold=self.threshold,
            penalty=self.members[0].recipe.capacity,
            out_of_fold_quantiles=self.out_of_fold_quantiles,
        )

    def to_files(self) -> dict[str, bytes]:
        """Give the files of a model folder: ``tabular.json``, and one file for each classifier that is not linear."""
        files: dict[str, bytes] = {}
        members = []
        for number, member in enumerate(self.members):
            classifier: dict[str, Any]
            if isinstance(member.classifier, LinearClassifier):
                classifier = {
                    "coefficients": member.classifier.coefficients.tolist(),
                    "intercept": member.classifier.intercept,
                }
            else:
                assert isinstance(member.classifier, EstimatorClassifier)  # noqa: S101
                classifier = {"file": f"classifier-{number}.skops"}
                files[classifier["file"]] = dump_estimator(member.classifier.estimator)
            members.append(_member_to_json(member) | {"classifier": classifier})
        content = {
            "threshold": self.threshold,
            "out_of_fold_quantiles": list(self.out_of_fold_quantiles),
            "members": members,
        }
        files[WEIGHTS_FILE] = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Make the model from what ``to_files`` gave; nothing in the files can run code.

        Raises
        ------
        InvalidModelError
            If a file is missing, damaged, or holds a type that no classifier of this package is made of.
        """
        try:
            content = json.loads(files[WEIGHTS_FILE])
            members = tuple(_member_from_json(part, files) for part in content["members"])
            return cls(members, float(content["threshold"]), tuple(content["out_of_fold_quantiles"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidModelError(
                f"The model is damaged: {WEIGHTS_FILE} does not hold what it should ({error!r})."
            ) from error


def _member_to_json(member: Member) -> dict[str, Any]:
    part = member.preparation
    return {
        "recipe": {
            "features": member.recipe.features,
            "capacity": member.recipe.capacity,
            "classifier": member.recipe.classifier.value,
            "selection": member.recipe.selection.value,
        },
        "columns": list(part.columns),
        "median": part.median.tolist(),
        "mean": part.mean.tolist(),
        "standard_deviation": part.standard_deviation.tolist(),
        "adjustments": {
            centre: {"scale": item.scale.tolist(), "offset": item.offset.tolist()}
            for centre, item in part.adjustments.items()
        },
        "calibration": {"slope": member.slope, "intercept": member.intercept},
        "quantiles": member.quantiles.tolist(),
    }


def _member_from_json(content: Mapping[str, Any], files: Mapping[str, bytes]) -> Member:
    recipe, classifier = content["recipe"], content["classifier"]
    fitted: Fitted
    if "file" in classifier:
        fitted = EstimatorClassifier(load_estimator(files[classifier["file"]]))
    else:
        fitted = LinearClassifier(np.array(classifier["coefficients"], float), float(classifier["intercept"]))
    return Member(
        Recipe(
            int(recipe["features"]),
            float(recipe["capacity"]),
            Classifier(recipe["classifier"]),
            Selection(recipe["selection"]),
        ),
        Preparation(
            tuple(content["columns"]),
            np.array(content["median"], float),
            np.array(content["mean"], float),
            np.array(content["standard_deviation"], float),
            {
                centre: Adjustment(np.array(item["scale"], float), np.array(item["offset"], float))
                for centre, item in content["adjustments"].items()
            },
        ),
        fitted,
        float(content["calibration"]["slope"]),
        float(content["calibration"]["intercept"]),
        np.array(content["quantiles"], float),
    )
