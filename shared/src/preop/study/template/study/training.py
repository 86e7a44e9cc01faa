"""Fits the model on a cohort, and validates it against the volume of the lesion alone.

All that learns does so inside the training part of each split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from preop.cohort import Cohort, training_images_file
from preop.errors import InvalidInputError
from preop.evidence import FEWEST_PERMUTATIONS, ValidationFigures
from preop.folders import open_resumable_run
from preop.grandchallenge.values import to_json
from preop.report.training import write_report
from preop.study import NoDetails, TrainingData, model_info, write_model
from preop.tabular import (
    FeatureTable,
    PermutationTest,
    PipelineSettings,
    Question,
    RepeatedSplits,
    train_and_validate,
)

from .measurement import CT, DENSITY, SEGMENTATION, VOLUME, measure
from .model import DESCRIPTION_FILE, MODEL, Description

OUTCOME = "malignant"
BASELINE = "volume"
_SOFTWARE = ("preop", "numpy", "scikit-learn", "SimpleITK")


class Settings(BaseModel):
    """What a training run can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    splits: int = Field(20, ge=2, description="random 80/20 splits of the validation")
    permutations: int = Field(
        FEWEST_PERMUTATIONS,
        ge=FEWEST_PERMUTATIONS,
        description="before the model is called better than the volume alone; 199 for a paper",
    )
    pipeline: PipelineSettings = Field(PipelineSettings(), description="of each model: preop.tabular")


def fit(cohort: Cohort, model: Path, report: Path, settings: Settings) -> ValidationFigures:
    """Train and validate on a cohort, as :meth:`preop.study.Training.fit` says."""
    open_resumable_run(report, {"cohort": cohort.sha256, "settings": settings.model_dump_json()})
    table = feature_table(cohort)
    study = train_and_validate(
        table,
        Question(
            outcome=OUTCOME,
            groups={VOLUME: [VOLUME], DENSITY: [DENSITY]},
            models={MODEL: [VOLUME, DENSITY], BASELINE: [VOLUME]},
            baselines=[BASELINE],
            volumes=[VOLUME],
        ),
        settings=settings.pipeline,
        splits=RepeatedSplits(settings.splits, seed=settings.pipeline.seed),
        permutations=PermutationTest(settings.permutations, seed=settings.pipeline.seed),
    )
    logistic = study.models[MODEL].logistic
    if logistic is None:
        raise InvalidInputError("Only a logistic regression can be explained: keep pipeline.classifiers to logistic.")
    validation = study.evidence.validation
    info = model_info(
        cohort.algorithm,
        training_data=TrainingData(
            **cohort.source.model_dump(),
            patients=len(table.patients),
            events=int(table.outcome.sum()),
            cohort_sha256=cohort.sha256,
        ),
        seed=settings.pipeline.seed,
        packages=_SOFTWARE,
        validation=validation,
    )
    description = Description(logistic=logistic)
    files = {DESCRIPTION_FILE: to_json(description.model_dump()).encode(), **training_images_file(cohort, report)}
    write_model(model, info, files, NoDetails)
    write_report(study.evidence, report, title=cohort.algorithm.title, source=cohort.source, model=model)
    return validation


def feature_table(cohort: Cohort) -> FeatureTable:
    """Measure the lesions of all patients; a row each, in the order of the cohort."""
    rows = [measure(each.case.image(CT), each.case.mask(SEGMENTATION)) for each in cohort.patients]
    outcome = np.array([each.reference_number(OUTCOME) for each in cohort.patients])
    if not np.isin(outcome, (0, 1)).all():
        raise InvalidInputError(f"The column {OUTCOME} holds other values than 0 and 1.")
    names = [each.name for each in cohort.patients]
    centres = [each.centre for each in cohort.patients]
    return FeatureTable.of(pd.DataFrame(rows, names), outcome, patients=names, centres=centres)
