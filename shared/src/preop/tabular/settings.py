"""What a training run on a feature table can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from preop.tabular.classifiers import Classifier
from preop.tabular.selection import Selection


class PipelineSettings(BaseModel):
    """Choices of a pipeline; what they leave open is chosen inside the training rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, description="of folds, searches and classifiers")
    classifiers: tuple[Classifier, ...] = Field((Classifier.LOGISTIC,), min_length=1, description="to choose from")
    selections: tuple[Selection, ...] = Field((Selection.UNIVARIABLE,), min_length=1, description="to choose from")
    max_features: tuple[int, ...] = Field((5, 10, 20), min_length=1, description="largest numbers of features to try")
    kept: tuple[str, ...] = Field(
        (),
        description="features that are never selected away, beside those numbers; only what cannot be used is left out",
    )
    search: Literal["grid", "optuna"] = Field("grid", description="all combinations, or a free search of some trials")
    trials: int = Field(50, ge=1, description="of the free search")
    ensemble: int = Field(1, ge=1, description="how many of the best candidates are averaged")
    one_standard_error: bool = Field(
        False, description="take the simplest candidate that is within one standard error of the best"
    )
    calibrate: bool = Field(True, description="recalibrate on predictions of the inner folds")
    maximum_correlation: float = Field(0.9, gt=0, le=1, description="of two features that stay, by ranks")
    minimum_icc: float = Field(0.75, ge=-1, le=1, description="of a feature that was measured again")
