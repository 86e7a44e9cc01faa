"""Fits the risk model on a cohort: one penalised logistic regression for each accepted combination of inputs.

Everything that learns does so inside the training part of each split: imputation, scaling, removal of features that do
not survive a perturbation or repeat another, selection, the strength of the penalty, calibration and threshold. The
volume of the tumour, its SUVmax, clinical information, and SUVmax with clinical information are validated on the same
splits: a model that does not surpass them has added nothing. Clinical information is kept in each model that takes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.cohort import Cohort, Patient, learning_folder, measure_patients, training_images_file
from preop.errors import InvalidInputError, need_package
from preop.evidence import FEWEST_PERMUTATIONS, ValidationFigures
from preop.folders import open_resumable_run
from preop.grandchallenge.values import read_json, to_json
from preop.likeness import known, references_file
from preop.radiomics import random_perturbations
from preop.report.training import write_report
from preop.study import TrainingData, model_info, write_model
from preop.tables import number
from preop.tabular import (
    Classifier,
    FeatureTable,
    FollowUp,
    PermutationTest,
    PipelineSettings,
    Question,
    RepeatedSplits,
    train_and_validate,
)
from preop.wording import counted

from .features import CLINICAL, PET, SCANS, UNCHANGED, Scan, measure, scan_of
from .likeness import measures_of_case, references_of
from .model import WEIGHTS_FILE, interface_key, scans_of

OUTCOME = "lung_metastasis"
FOLLOW_UP = "follow_up_days"
FEWEST_PATIENTS = 8
"""So many have to have the same scans before a model on them is tried: fewer are never enough for ``preop.tabular``."""
MEASUREMENTS_FILE, LIKENESS_FILE = "measurements.json", "likeness.json"
_SOFTWARE = ("preop", "numpy", "scipy", "scikit-learn", "SimpleITK")
_SUV_MAX = f"{PET.name}_stat_max"
SIMPLE_FEATURE = {scan.name: _SUV_MAX if scan is PET else f"{scan.name}_log_volume_ml" for scan in SCANS}
SUV_MAX_AND_CLINICAL = "SUVmax + clinical"
"""The baseline of more than one part: what a clinician has without any model of images."""


class Settings(BaseModel):
    """Settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    splits: int = Field(100, ge=2, description="random 80/20 splits of the validation")
    permutations: int = Field(
        199,
        ge=FEWEST_PERMUTATIONS,
        description="of a model that is better than a baseline on the splits, before it is called better",
    )
    perturbations: int = Field(3, ge=0, description="times each tumour is measured again, perturbed; 0 for never")
    time_to_event: bool = Field(
        False,
        description="Cox regression and Kaplan-Meier curves too, from the column follow_up_days; takes many minutes",
    )
    simple: bool = Field(
        False, description="of the scans only what needs no radiomics: the volume on CT and MR, SUVmax on PET"
    )
    pipeline: PipelineSettings = Field(
        PipelineSettings(max_features=(3, 5, 10)), description="of each model: preop.tabular"
    )


def fit(cohort: Cohort, model: Path, report: Path, settings: Settings) -> ValidationFigures:
    """Train and validate on a cohort, as :meth:`preop.study.Training.fit` says.

    Patients with more inputs also serve the combinations that need fewer.
    """
    if Classifier.LOGISTIC not in settings.pipeline.classifiers:  # told now, not after hours
        raise _not_explained("No classifier of pipeline.classifiers is a logistic regression")
    _refuse_what_is_missing(cohort, settings)
    open_resumable_run(report, {"settings": settings.model_dump_json()})
    work = report / "work"
    measured = measure_tumours(cohort, settings, work / "patients")
    table = feature_table(cohort, measured)
    asked = question(cohort, table, simple=settings.simple)
    clinical = asked.groups.get("clinical", ())
    study = train_and_validate(
        table,
        asked,
        settings=settings.pipeline.model_copy(update={"kept": (*settings.pipeline.kept, *clinical)}),
        splits=RepeatedSplits(settings.splits, seed=settings.pipeline.seed),
        permutations=PermutationTest(settings.permutations, seed=settings.pipeline.seed),
        follow_up=_follow_up(cohort) if settings.time_to_event else None,
        folder=learning_folder(work, cohort, measured),
    )
    validation = study.evidence.validation
    weights = {name: fitted.logistic for name, fitted in study.models.items() if _is_interface(name, cohort)}
    if unreadable := [name for name, logistic in weights.items() if logistic is None]:
        raise _not_explained(f"The model on {unreadable[0]} is not a logistic regression")
    content = to_json({name: logistic.to_dict() for name, logistic in weights.items() if logistic})
    likeness = references_of([read_json(folder / LIKENESS_FILE) for folder in measured.values()])
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
    files = {WEIGHTS_FILE: content.encode(), **references_file(likeness), **training_images_file(cohort, work)}
    write_model(model, info, files)
    write_report(study.evidence, report, title=cohort.algorithm.title, source=cohort.source, model=model)
    shutil.rmtree(work, ignore_errors=True)
    return validation


def _not_explained(reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"{reason}, and only those are explained: keep pipeline.classifiers to logistic, and the scans of a single "
        "harmonised centre."
    )


def measure_tumours(cohort: Cohort, settings: Settings, work: Path) -> dict[str, Path]:
    """Measure all patients, and measure them again under perturbations.

    Parameters
    ----------
    work
        Folder where finished patients are kept, so that a stopped run goes on from there.

    Returns
    -------
    Folder of each patient's measurements, by name, in the order of the cohort.
    """
    return measure_patients(
        cohort,
        work,
        partial(_measure, perturbations=settings.perturbations, seed=settings.pipeline.seed),
        settings=[settings.perturbations, settings.pipeline.seed],
        columns=(),
        description="Measuring tumours",
    )


def feature_table(cohort: Cohort, measured: Mapping[str, Path]) -> FeatureTable:
    """Put the measurements of all patients into a table, and those under perturbations beside it.

    Parameters
    ----------
    measured
        Folder of each patient's measurements, by name, in the order of the cohort.
    """
    outcome = _outcomes(cohort)
    rows = [read_json(folder / MEASUREMENTS_FILE) for folder in measured.values()]
    names = [patient.name for patient in cohort.patients]
    tables = [pd.DataFrame([each[number] for each in rows], names, dtype=float) for number in range(len(rows[0]))]
    imaging = [name for name in tables[0].columns if scan_of(name) is not None]
    return FeatureTable.of(
        tables[0],
        outcome,
        patients=names,
        centres=[patient.centre for patient in cohort.patients],
        groups=[patient.group for patient in cohort.patients],
        perturbed=[table[imaging] for table in tables[1:]],
    )


def question(cohort: Cohort, table: FeatureTable, *, simple: bool = False) -> Question:
    """Ask for a model on each combination of inputs that patients had, compared with volume, SUVmax and clinical information.

    Parameters
    ----------
    simple
        Whether a model takes nothing of a scan but the volume of the tumour, and of PET nothing but its SUVmax.
    """
    groups = {scan.label: [name for name in table.columns if scan_of(name) is scan] for scan in SCANS}
    groups["clinical"] = [name for name in table.columns if scan_of(name) is None]
    groups |= {f"{scan.label} volume": [f"{scan.name}_log_volume_ml"] for scan in SCANS if groups[scan.label]}
    if _SUV_MAX in table.columns:
        groups["SUVmax"] = [_SUV_MAX]
    if simple:
        groups |= {scan.label: [SIMPLE_FEATURE[scan.name]] for scan in SCANS if groups[scan.label]}
    groups = {name: columns for name, columns in groups.items() if columns}
    models = {
        key: key.split(" + ")
        for key in map(interface_key, cohort.algorithm.interfaces)
        if all(part in groups for part in key.split(" + ")) and _patients_with(scans_of(key), table) >= FEWEST_PATIENTS
    }
    alone = [name for name in groups if name.endswith("volume") or name in {"SUVmax", "clinical"}]
    baselines = {name: [name] for name in alone}
    if {"SUVmax", "clinical"} <= groups.keys():
        baselines[SUV_MAX_AND_CLINICAL] = ["SUVmax", "clinical"]
    return Question(
        outcome="lung metastasis",
        groups=groups,
        models=models | baselines,
        baselines=[*baselines],
        volumes=[columns[0] for name, columns in groups.items() if name.endswith("volume")],
        described=_described(cohort),
    )


def _patients_with(scans: Collection[Scan], table: FeatureTable) -> int:
    """Count the patients who had all of these scans."""
    volumes = table.select([f"{scan.name}_log_volume_ml" for scan in scans]).values
    return int(np.isfinite(volumes).all(axis=1).sum())


def _measure(patient: Patient, folder: Path, *, perturbations: int, seed: int) -> None:
    perturbed = random_perturbations(perturbations, seed)
    rows = [measure(patient.case, perturbation) for perturbation in (UNCHANGED, *perturbed)]
    # What is not known is missing from the table.
    (folder / MEASUREMENTS_FILE).write_text(to_json([known(row) for row in rows]), encoding="utf-8")
    (folder / LIKENESS_FILE).write_text(to_json(known(measures_of_case(patient.case))), encoding="utf-8")


def _described(cohort: Cohort) -> dict[str, list[float | str | None]]:
    """Variables of the cohort table, as clinicians know them."""
    columns = cohort.algorithm.input(CLINICAL).columns
    types = cohort.algorithm.json_schemas[CLINICAL]["properties"]
    described: dict[str, list[float | str | None]] = {}
    for column in columns:
        cells = [patient.row.get(column, "") for patient in cohort.patients]
        if any(cells):
            described[column] = [
                (number(cell, column) if types[column].get("type") == "number" else cell) if cell else None
                for cell in cells
            ]
    return described


def _refuse_what_is_missing(cohort: Cohort, settings: Settings) -> None:
    """Tell before the long work of what would end it: packages, and columns of the table."""
    need_package("tableone", "The table of the cohort", "training")
    if settings.pipeline.search == "optuna":
        need_package("optuna", "A free search", "training")
    if len({patient.centre for patient in cohort.patients}) > 1:
        need_package("neuroHarmonize", "Harmonisation of several centres", "training")
    _refuse_what_nobody_outlined(cohort)
    _outcomes(cohort)
    if settings.time_to_event:
        need_package("lifelines", "Time to event", "training")
        _follow_up(cohort)


def _refuse_what_nobody_outlined(cohort: Cohort) -> None:
    """Refuse to learn from what a network would have to outline: a model would repeat its mistakes."""
    for scan in SCANS:
        lacking = [p.name for p in cohort.patients if scan.image in p.case and scan.segmentation not in p.case]
        if lacking:
            raise InvalidInputError(
                f"{counted(len(lacking), 'patient')} of {cohort.path.name} ({', '.join(lacking[:3])}"
                f"{', ...' if len(lacking) > 3 else ''}) have {scan.image} without {scan.segmentation}, and a model learns from "
                "outlines that people have approved: draw them by preop review, or leave the scan out."
            )


def _outcomes(cohort: Cohort) -> NDArray[np.float64]:
    outcome = np.array([patient.reference_number(OUTCOME) for patient in cohort.patients])
    if not np.isin(outcome, (0, 1)).all():
        raise InvalidInputError(f"{OUTCOME} holds other values than 0 and 1.")
    return outcome


def _follow_up(cohort: Cohort) -> FollowUp:
    """Time to lung metastasis, or to when the patient was last seen without."""
    return FollowUp.of([patient.reference_number(FOLLOW_UP) for patient in cohort.patients], _outcomes(cohort))


def _is_interface(name: str, cohort: Cohort) -> bool:
    return name in {interface_key(interface) for interface in cohort.algorithm.interfaces}
