"""Fits the risk model on a cohort: one penalised logistic regression for each accepted combination of inputs.

Everything that learns (imputation, scaling, strength of the penalty, threshold) does so inside the training part of
each split; the volume of the tumour alone and clinical information alone are validated on the same splits.
"""

from __future__ import annotations

import datetime as dt
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import track

from preop.cohort import Cohort, Patient, map_patients
from preop.errors import InvalidInputError, PreopError
from preop.grandchallenge.models import TrainingData, write_model
from preop.grandchallenge.values import to_json
from preop.tabular import RepeatedSplits, fit_logistic, validate

from .features import CLINICAL, SCANS, Scan, measure
from .inference import WEIGHTS_FILE, interface_key

OUTCOME = "lung_metastasis"
_SOFTWARE = ("preop", "numpy", "scipy", "scikit-learn", "SimpleITK")


class Settings(BaseModel):
    """What a training run can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, description="of all folds")
    splits: int = Field(100, ge=2, description="random 80/20 splits of the validation")


def fit(cohort: Cohort, model: Path, settings: Settings) -> dict[str, Any]:
    """Train and validate on a cohort, and write the model folder.

    Patients with more inputs also serve the combinations that need fewer.

    Returns
    -------
    The validation figures, as they stand in ``model.json``.
    """
    table, outcome = feature_table(cohort)
    splits = RepeatedSplits(settings.splits, seed=settings.seed)
    weights: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    for interface in track(cohort.algorithm.interfaces, "Training and validating", transient=True):
        rows, events = _eligible(interface, table, outcome)
        if rows.empty:
            continue
        key = interface_key(interface)
        weights[key] = fit_logistic(rows, events, seed=settings.seed).to_dict()
        figures[key] = {"patients": len(rows), "events": int(events.sum()), "auc": _nested_auc(rows, events, splits)}
    validation = {
        "protocol": f"{settings.splits} stratified random splits by patient, 80 % to train and 20 % to test; "
        "AUC with corrected resampled t interval",
        "interfaces": figures,
        "baselines": _baselines(table, outcome, splits),
    }
    data = TrainingData(
        **cohort.source.model_dump(),
        patients=len(table),
        events=int(outcome.sum()),
        cohort_sha256=cohort.sha256,
    )
    info = {
        "algorithm": cohort.algorithm.name,
        "algorithm_version": cohort.algorithm.version,
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
        "seed": settings.seed,
        "training_data": data,
        "software": {"python": platform.python_version(), **{name: version(name) for name in _SOFTWARE}},
        "validation": validation,
    }
    write_model(model, info, {WEIGHTS_FILE: to_json(weights).encode()})
    return validation


def feature_table(cohort: Cohort) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Measure all patients: one row each, in the order of the cohort, and whether each had the outcome."""
    rows: dict[str, dict[str, float]] = {}
    for patient, measured in map_patients(_measure, cohort.patients, description="Measuring tumours"):
        if isinstance(measured, PreopError):
            raise InvalidInputError(f"Patient {patient.name}: {measured}") from measured
        rows[patient.name] = measured
    table = pd.DataFrame([rows[patient.name] for patient in cohort.patients], [p.name for p in cohort.patients])
    outcome = np.array([patient.reference_number(OUTCOME) for patient in cohort.patients])
    if not np.isin(outcome, (0, 1)).all():
        raise InvalidInputError(f"{OUTCOME} holds other values than 0 and 1.")
    return table, outcome.astype(bool)


def _eligible(
    interface: tuple[str, ...], table: pd.DataFrame, outcome: NDArray[np.bool_]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Features that a combination of inputs provides, of the patients who have them, and their outcome."""
    scans = [scan for scan in SCANS if scan.image in interface]
    parts = [_columns(table, scan) for scan in scans]
    if CLINICAL in interface:
        parts.append(_clinical_columns(table))
    complete = [table[part].notna().any(axis=1).to_numpy() if part else np.zeros(len(table), bool) for part in parts]
    rows = np.logical_and.reduce(complete)
    return table.loc[rows, [name for part in parts for name in part]], outcome[rows]


def _baselines(table: pd.DataFrame, outcome: NDArray[np.bool_], splits: RepeatedSplits) -> dict[str, Any]:
    """What an imaging model has to beat: the volume of the tumour, and what the clinician knows without a scan."""
    columns = {f"volume on {scan.name}": [f"{scan.name}_log_volume_ml"] for scan in SCANS if _columns(table, scan)}
    columns["clinical information"] = _clinical_columns(table)
    figures = {}
    for name, part in columns.items():
        known = table[part].notna().any(axis=1).to_numpy()
        if known.any():
            figures[name] = _nested_auc(table.loc[known, part], outcome[known], splits)
    return figures


def _measure(patient: Patient) -> dict[str, float]:
    return measure(patient.case)


def _columns(table: pd.DataFrame, scan: Scan) -> list[str]:
    return [name for name in table.columns if name.startswith(f"{scan.name}_")]


def _clinical_columns(table: pd.DataFrame) -> list[str]:
    imaging = {name for scan in SCANS for name in _columns(table, scan)}
    return [name for name in table.columns if name not in imaging]


def _nested_auc(table: pd.DataFrame, outcome: NDArray[np.bool_], splits: RepeatedSplits) -> dict[str, float | None]:
    return validate(partial(_learn, seed=splits.seed), table, outcome, splits).as_dict()


def _learn(table: pd.DataFrame, outcome: NDArray[np.bool_], *, seed: int) -> Any:
    return fit_logistic(table, outcome, seed=seed).probabilities
