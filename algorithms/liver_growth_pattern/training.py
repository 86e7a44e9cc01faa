"""Fits radiomics and network on a cohort whose growth patterns are known by metastasis, by patient, or mixed, and validates.

Everything that learns does so inside the folds: both learners, the strength of the penalty, what stacks them and how
far metastases of a patient resemble each other are fitted without each outer fold, which is then predicted. The combination
is compared with each learner alone and with the mean of the cohort. The final model is trained in the same way on all patients.
"""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from preop.cohort import Cohort, map_patients
from preop.cohort import Patient as CohortPatient
from preop.errors import InvalidInputError, PreopError
from preop.folders import open_resumable_run
from preop.grandchallenge.values import read_json, to_json
from preop.mil import stratified_folds
from preop.staging import REPORTS, Pattern, Shares
from preop.statistics import youden_threshold
from preop.study import (
    Comparison,
    Figure,
    ModelFigures,
    Range,
    TrainingData,
    ValidationFigures,
    model_info,
    write_model,
)

from .combination import PatientPrediction
from .evidence import figures
from .learning import COMBINATION, MODELS, Fitted, Patient, Settings, fit_model, mean_shares, state_of
from .likelihood import UNKNOWN
from .model import DESCRIPTION_FILE, WEIGHTS_FILE, Description, Details, to_weights
from .pages import evidence_page
from .preparation import CONTENT_FILE, FIRST, SECOND, prepare_patient

__all__ = ["Settings", "fit"]

OUTCOME = "non_desmoplastic"
SHARES_FILE, LESION_TRUTH_FILE, PATIENT_TRUTH_FILE = "lesion_shares.csv", "lesion_truth.csv", "patient_truth.csv"
SOURCE_COLUMN = "segmentation_source"
_SOFTWARE = ("preop", "torch", "monai", "numpy", "SimpleITK")

Content = Mapping[str, Any]
Measure = Literal["auc", "error_of_shares"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A patient ready for learning.

    Attributes
    ----------
    row
        Of the cohort.
    content
        What ``preparation.prepare_patient`` kept.
    patient
        What is learned from.
    second
        The same by the second segmentation, where there is one, for the metastases that both show.
    """

    row: CohortPatient
    content: Content
    patient: Patient
    second: Patient | None


def fit(cohort: Cohort, model: Path, report: Path, settings: Settings) -> ValidationFigures:
    """Train and validate on a cohort; write the model folder, and the report with its evidence.

    Parameters
    ----------
    model
        Becomes what ``/opt/ml/model`` holds.
    report
        Becomes ``report.html`` and ``evidence.json``, which holds each patient's held-out prediction.

    Returns
    -------
    The validation figures, as they stand in ``model.json``.
    """
    open_resumable_run(report, {"cohort": cohort.sha256, "settings": settings.model_dump_json()})
    work = report / "work"
    prepared = prepare(cohort, work / "patients")
    folds = stratified_folds([each.patient.bag for each in prepared], settings.folds, settings.training.seed + 1)
    inner = settings.training.folds
    with _progress(settings.training.epochs * inner * (len(folds) + 1)) as advance:
        rows: dict[int, dict[str, Any]] = {}
        for name, held_out in folds.items():
            place = work / f"fold_{name}"
            if not (place / "said.json").is_file():
                others = [each.patient for row, each in enumerate(prepared) if row not in set(held_out)]
                fitted = fit_model(others, settings, folder=place, advance=advance)
                said = said_of([prepared[row] for row in held_out], fitted, fold=name, without=mean_shares(others))
                (place / "said.json").write_text(to_json(said), encoding="utf-8")
            else:
                advance(settings.training.epochs * inner)
            rows |= dict(zip(held_out, read_json(place / "said.json"), strict=True))
        final = fit_model([each.patient for each in prepared], settings, folder=work / "final", advance=advance)
    evidence = {
        "format": 1,
        "protocol": f"{len(folds)}-fold cross-validation by patient; all that learns does so on the other folds, the "
        f"penalty, the stacking and the within-patient correlation of metastases by {inner} folds inside",
        "settings": settings.model_dump(mode="json"),
        "patients": [rows[row] for row in range(len(prepared))],
        "oracle": oracle_of(cohort),
    }
    validation = _validation(evidence)
    description = _description(prepared, final, settings, _threshold(evidence))
    files = {
        DESCRIPTION_FILE: to_json(description.model_dump(mode="json")).encode(),
        WEIGHTS_FILE: to_weights(final.networks),
    }
    info = model_info(
        cohort.algorithm,
        training_data=TrainingData(
            **cohort.source.model_dump(),
            patients=len(prepared),
            events=sum(each.patient.state == 1 for each in prepared),
            cohort_sha256=cohort.sha256,
        ),
        seed=settings.training.seed,
        packages=_SOFTWARE,
        validation=validation,
    )
    write_model(model, info, files, Details)
    (report / "evidence.json").write_text(to_json(evidence), encoding="utf-8")
    evidence_page(
        evidence,
        report / "report.html",
        kicker="Training report",
        title=cohort.algorithm.title,
        source=cohort.source.description,
        simulated=cohort.source.simulated,
    )
    shutil.rmtree(work, ignore_errors=True)
    return validation


def prepare(cohort: Cohort, work: Path) -> list[Prepared]:
    """Measure and cut out the metastases of all patients, in the order of the cohort.

    Parameters
    ----------
    work
        Folder where finished patients are kept, so that a stopped run goes on from there.
    """
    shares = read_shares(cohort)
    for patient in cohort.patients:  # refused before the long work
        stated_pattern(patient, shares.get(patient.name, {}))
    work.mkdir(parents=True, exist_ok=True)
    todo = [patient for patient in cohort.patients if not (work / patient.name).is_dir()]
    for patient, result in map_patients(
        partial(prepare_patient, work=work), todo, description="Cutting out metastases"
    ):
        if isinstance(result, PreopError):
            raise InvalidInputError(f"Patient {patient.name}: {result}") from result
    return [_prepared(patient, shares.get(patient.name, {}), work / patient.name) for patient in cohort.patients]


def read_shares(cohort: Cohort) -> dict[str, dict[int, Shares]]:
    """Read what was reported of each metastasis, by patient and label, from the table beside the cohort's.

    Raises
    ------
    InvalidInputError
        If a column is missing, a cell is no number, or shares do not sum to 1.
    """
    found: dict[str, dict[int, Shares]] = {}
    for row in _table(cohort, SHARES_FILE):
        try:
            label = int(row["label"])
            shares = Shares(*(float(row[pattern]) for pattern in Pattern))
        except KeyError as error:
            raise InvalidInputError(f"{SHARES_FILE} has no column {error.args[0]}.") from None
        except ValueError:
            raise InvalidInputError(f"{SHARES_FILE}, patient {row['patient']}: a cell is not a number.") from None
        except InvalidInputError as error:
            raise InvalidInputError(f"{SHARES_FILE}, patient {row['patient']}, label {label}: {error}") from None
        found.setdefault(row["patient"], {})[label] = shares
    return found


def stated_pattern(patient: CohortPatient, shares: Mapping[int, Shares]) -> int:
    """Pattern of a patient by the table of the cohort: 1 non-desmoplastic, 0 desmoplastic, or ``UNKNOWN``.

    Raises
    ------
    InvalidInputError
        If nothing is known of the patient, or the tables contradict each other.
    """
    if not patient.row.get(OUTCOME):
        if not shares:
            raise InvalidInputError(
                f"Patient {patient.name} has neither {OUTCOME} nor a row in {SHARES_FILE}: give one of them."
            )
        return UNKNOWN
    stated = patient.reference_number(OUTCOME)
    impure = [label for label, each in shares.items() if not each.pure_desmoplastic]
    if stated not in (0, 1) or (stated == 0 and impure):
        found = f"metastasis {impure[0]} is not purely desmoplastic" if impure else f"{OUTCOME} is 0 or 1"
        raise InvalidInputError(f"Patient {patient.name} has {OUTCOME} {stated:g}, but {found}: correct the tables.")
    return int(stated)


def said_of(
    prepared: Sequence[Prepared], fitted: Fitted, *, fold: str, without: np.ndarray[Any, Any]
) -> list[dict[str, Any]]:
    """Evidence of patients whom a model has not seen.

    Parameters
    ----------
    fold
        In which they were held out.
    without
        Mean shares (3,) of the others: what would be said without looking.
    """
    patients = [each.patient for each in prepared]
    said = {model: fitted.predict(patients, model) for model in MODELS}
    seconds = [each.second for each in prepared if each.second is not None]
    by_second = iter(fitted.predict(seconds))
    rows = []
    for number, each in enumerate(prepared):
        content = each.content[FIRST]
        rows.append(
            {
                "patient": each.row.name,
                "centre": each.row.centre,
                "source": each.row.row.get(SOURCE_COLUMN, ""),
                "fold": fold,
                "state": each.patient.state,
                "without": without.tolist(),
                "lesions": [
                    {
                        "label": lesion["number"],
                        "long_axis_mm": lesion["long_axis_mm"],
                        "report": None if report == UNKNOWN else REPORTS[report].tolist(),
                    }
                    for lesion, report in zip(content, each.patient.reports, strict=True)
                ],
                "said": {model: _said(predictions[number], each.patient) for model, predictions in said.items()},
                "second": None
                if each.second is None
                else {
                    "labels": [int(name) for name in _labels(each.content[SECOND], content)],
                    **_said(next(by_second), each.second),
                },
            }
        )
    return rows


def oracle_of(cohort: Cohort) -> dict[str, Any] | None:
    """What an observer knows who was told how simulated patients were made: chances of patients and of metastases."""
    patients, lesions = _table(cohort, PATIENT_TRUTH_FILE), _table(cohort, LESION_TRUTH_FILE)
    if not patients or not lesions:
        return None
    return {
        "patients": [float(row["oracle_probability"]) for row in patients],
        "lesions": [float(row["oracle_probability_pure"]) for row in lesions],
        "shares": {f"{row['patient']}/{row['label']}": [float(row[pattern]) for pattern in Pattern] for row in lesions},
    }


def _said(prediction: PatientPrediction, patient: Patient) -> dict[str, Any]:
    """A prediction as numbers; the log score where there is a report."""
    return {
        "non_desmoplastic": prediction.non_desmoplastic,
        "lesions": [
            {
                "mean": lesion.mean.tolist(),
                "pure": lesion.pure_desmoplastic,
                "half": lesion.at_least(),
                "predominant": list(lesion.predominant.values()),
                "log_score": None if report == UNKNOWN else math.log(max(float(lesion.probabilities[report]), 1e-12)),
                "low_high": lesion.interval(Pattern.DESMOPLASTIC),
            }
            for lesion, report in zip(prediction.lesions, patient.reports, strict=True)
        ],
    }


def _prepared(row: CohortPatient, shares: Mapping[int, Shares], folder: Path) -> Prepared:
    content = read_json(folder / CONTENT_FILE)
    stated = stated_pattern(row, shares)

    def patient(name: str, kept: Sequence[int]) -> Patient:
        lesions = [content[name][place] for place in kept]
        reports = [shares[each["number"]].report if each["number"] in shares else UNKNOWN for each in lesions]
        # Read from the disk when it is needed.
        patches = torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))
        chosen = patches if len(kept) == len(patches) else patches[list(kept)]
        features = [each["features"] for each in lesions]
        return Patient(row.name, row.centre, features, chosen, reports, state_of(reports, stated))

    first = patient(FIRST, range(len(content[FIRST])))
    both = _labels(content[SECOND], content[FIRST]) if SECOND in content else {}
    return Prepared(row, content, first, patient(SECOND, list(both.values())) if both else None)


def _labels(second: Sequence[Content], first: Sequence[Content]) -> dict[str, int]:
    """Numbers that both segmentations have, with their place in the second."""
    known = {each["number"] for each in first}
    return {str(each["number"]): place for place, each in enumerate(second) if each["number"] in known}


def _table(cohort: Cohort, name: str) -> list[dict[str, str]]:
    """Rows of a table beside the cohort's, where there is one."""
    path = cohort.path.with_name(name)
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _threshold(evidence: Mapping[str, Any]) -> float:
    """Likelihood at which sensitivity and specificity together are largest in the validation."""
    known = [row for row in evidence["patients"] if row["state"] != UNKNOWN]
    scores = np.array([row["said"][COMBINATION]["non_desmoplastic"] for row in known])
    return youden_threshold(np.array([row["state"] for row in known]), scores)


def _validation(evidence: Mapping[str, Any]) -> ValidationFigures:
    """Figures of the evidence in the form in which every model states its validation."""
    known = figures(evidence)
    states = [row["state"] for row in evidence["patients"] if row["state"] != UNKNOWN]
    areas = {name: of["patient_auc"] for name, of in known["models"].items()} | {"mean of the cohort": None}
    models = {
        name: ModelFigures(
            baseline=name != COMBINATION,
            patients=len(states),
            events=sum(states),
            auc=None if area is None else Figure(**area),
        )
        for name, area in areas.items()
    }
    measures: tuple[tuple[Measure, str], ...] = (
        ("error_of_shares", "difference_of_error"),
        ("auc", "difference_of_patient_auc"),
    )
    comparisons = [
        Comparison(
            model=COMBINATION,
            baseline=each["baseline"],
            measure=measure,
            difference=None if each[key] is None else Figure(**each[key]),
            p_value=None,
            significantly_better=_better(measure, each[key]),
        )
        for each in known["comparisons"]
        for measure, key in measures
        if measure == "error_of_shares" or each[key] is not None
    ]
    surpassed = [
        each.baseline for each in comparisons if each.measure == "error_of_shares" and each.significantly_better
    ]
    return ValidationFigures(
        protocol=evidence["protocol"],
        patients=known["patients"],
        models=models,
        comparisons=tuple(comparisons),
        verdict=(
            f"Shares are predicted better than by: {', '.join(surpassed)}."
            if surpassed
            else "Shares were not shown to be predicted better than by either learner alone or by the mean of the cohort.",
        ),
        cautions=(),
        details={
            "lesions": known["lesions"],
            "reported_lesions": known["reported_lesions"],
            "models": {
                name: {key: value for key, value in of.items() if key != "patient_auc"}
                for name, of in known["models"].items()
            },
            "cohort_mean_error": known["error_without_looking"],
            "subgroups": known["by"],
            "second_segmentation": known["second_segmentation"],
            "oracle": known["oracle"],
        },
    )


def _better(measure: Measure, difference: Mapping[str, float | None] | None) -> bool:
    """Whether the interval of a difference lies on the better side of 0; not where the patients determine none."""
    lower, upper = (None, None) if difference is None else (difference["lower"], difference["upper"])
    if lower is None or upper is None:
        return False
    return upper < 0 if measure == "error_of_shares" else lower > 0


def _description(prepared: Sequence[Prepared], fitted: Fitted, settings: Settings, threshold: float) -> Description:
    lesions = [lesion for each in prepared for lesion in each.content[FIRST]]
    return Description(
        network=settings.network,
        networks=len(fitted.networks),
        regression=fitted.regression,
        stacks=fitted.stacks,
        within_patient_correlations=fitted.within_patient_correlations,
        mean_shares=tuple(mean_shares([each.patient for each in prepared]).tolist()),
        typical={name: tuple(values.tolist()) for name, values in fitted.typical.items()},
        threshold=threshold,
        lesions=Range.of([len(each.content[FIRST]) for each in prepared]),
        long_axis_mm=Range.of([lesion["long_axis_mm"] for lesion in lesions], digits=0),
        liver_hu=Range.of([lesion["liver_hu"] for lesion in lesions], digits=0),
        slice_mm=Range.of([each.content["slice_mm"] for each in prepared]),
    )


@contextmanager
def _progress(epochs: int) -> Iterator[Any]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Training", total=epochs)
        yield lambda done: progress.advance(task, done)
