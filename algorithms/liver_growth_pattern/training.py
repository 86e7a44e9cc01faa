"""Fits radiomics and network on a cohort whose growth patterns are known by metastasis, by patient, or mixed, and validates.

Everything that learns does so inside the folds: both learners, the strength of the penalty, what stacks them and how
far metastases of a patient resemble each other are fitted without each outer fold, which is then predicted. The combination
is compared with each learner alone and with the mean of the cohort. The final model is trained in the same way on all patients.
"""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preop import tables
from preop.cohort import Cohort, learning_folder, map_patients, measure_patients, training_images_file
from preop.cohort import Patient as CohortPatient
from preop.errors import InvalidInputError
from preop.evidence import SharesEvidence, ValidationFigures
from preop.folders import open_resumable_run
from preop.grandchallenge.values import read_json, to_json
from preop.likeness import LIKENESS, references_file
from preop.mil import stratified_folds
from preop.portable import check_writing
from preop.progress import progress_bar
from preop.report.training import write_report
from preop.staging import REPORTS, Pattern, Shares
from preop.study import Range, TrainingData, model_info, write_model

from .combination import PatientPrediction
from .fitted import COMBINATION, MODELS, Fitted, Patient
from .learning import Settings, fit_model, mean_shares, state_of, train_networks_ahead
from .likeness import references_of
from .model import DESCRIPTION_FILE, Description, Details
from .portable import network_files
from .preparation import CONTENT_FILE, FIRST, SECOND, SECOND_SEGMENTATION, prepare_patient
from .reports import UNKNOWN

__all__ = ["Settings", "fit"]

OUTCOME = "non_desmoplastic"
SHARES_FILE, LESION_TRUTH_FILE, PATIENT_TRUTH_FILE = "lesion_shares.csv", "lesion_truth.csv", "patient_truth.csv"
SOURCE_COLUMN = "segmentation_source"
PREDICTIONS_FILE = "predictions.json"
"""Of a fold of the validation that is done."""
IN_WORDS = {
    COMBINATION: "radiomics and network combined",
    "radiomics": "radiomics alone",
    "network": "the network alone",
}
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
    """Train and validate on a cohort, as :meth:`preop.study.Training.fit` says."""
    check_writing()
    open_resumable_run(report, {"settings": settings.model_dump_json()})
    work = report / "work"
    prepared, folders = prepare(cohort, work / "patients")
    learned = learning_folder(work, cohort, folders, tables=(SHARES_FILE,))
    folds = stratified_folds([each.patient.bag for each in prepared], settings.folds, settings.training.seed + 1)
    inner = settings.training.folds
    final_folder, patients = learned / "final", [each.patient for each in prepared]
    others_of = {name: [row for row in range(len(prepared)) if row not in set(rows)] for name, rows in folds.items()}
    with progress_bar("Training", settings.training.epochs * inner * (len(folds) + 1)) as advance:
        parts = {
            learned / f"fold_{name}": others
            for name, others in others_of.items()
            if not (learned / f"fold_{name}" / PREDICTIONS_FILE).is_file()
        }
        parts[final_folder] = list(range(len(prepared)))
        advance(settings.training.epochs * inner * (len(folds) + 1 - len(parts)))
        ahead = train_networks_ahead(patients, parts, settings, each=map_patients, advance=advance)
        told = (lambda _: None) if ahead else advance
        rows: dict[int, dict[str, Any]] = {}
        for name, held_out in folds.items():
            place = learned / f"fold_{name}"
            stored = place / PREDICTIONS_FILE
            if not stored.is_file():
                others = [patients[row] for row in others_of[name]]
                fitted = fit_model(others, settings, folder=place, advance=told)
                unseen = [prepared[row] for row in held_out]
                predictions = held_out_predictions(unseen, fitted, fold=name, cohort_mean=mean_shares(others))
                stored.write_text(to_json(predictions), encoding="utf-8")
            rows |= dict(zip(held_out, read_json(stored), strict=True))
        final = fit_model(patients, settings, folder=final_folder, advance=told)
    evidence = SharesEvidence.read(
        {
            "protocol": f"{len(folds)}-fold cross-validation by patient; all that learns does so on the other folds, the "
            f"penalty, the stacking and the within-patient correlation of metastases by {inner} folds inside",
            "settings": settings.model_dump(mode="json"),
            "models": IN_WORDS,
            "patients": [rows[row] for row in range(len(prepared))],
            "oracle": oracle_of(cohort),
        }
    )
    validation = evidence.validation
    description = _description(prepared, final, settings, evidence.patients_by(COMBINATION).best_threshold)
    files = {
        DESCRIPTION_FILE: to_json(description.model_dump(mode="json")).encode(),
        **network_files(final.by_torch),
        **references_file(references_of([each.content[LIKENESS] for each in prepared])),
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
    files |= training_images_file(cohort, work)
    write_model(model, info, files, Details)
    write_report(evidence, report, title=cohort.algorithm.title, source=cohort.source, model=model)
    shutil.rmtree(work, ignore_errors=True)
    return validation


def prepare(cohort: Cohort, work: Path) -> tuple[list[Prepared], Mapping[str, Path]]:
    """Measure and cut out the metastases of all patients.

    Parameters
    ----------
    work
        Folder where finished patients are kept, so that a stopped run goes on from there.

    Returns
    -------
    The patients, in the order of the cohort, and the folder of each.
    """
    shares = read_shares(cohort)
    for patient in cohort.patients:  # refused before the long work
        stated_pattern(patient, shares.get(patient.name, {}))
    folders = measure_patients(
        cohort,
        work,
        prepare_patient,
        further=partial(_second_segmentation, cohort=cohort),
        columns=(SECOND_SEGMENTATION,),
        description="Cutting out metastases",
    )
    return [
        _prepared(patient, shares.get(patient.name, {}), folders[patient.name]) for patient in cohort.patients
    ], folders


def _second_segmentation(patient: CohortPatient, cohort: Cohort) -> list[Path]:
    """File that is read beside the inputs, where there is one."""
    named = patient.row.get(SECOND_SEGMENTATION, "")
    return [cohort.path.parent / named] if named else []


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
            label = tables.whole_number(row["label"], "label")
            shares = Shares(*(tables.number(row[pattern], pattern) for pattern in Pattern))
        except KeyError as error:
            raise InvalidInputError(f"{SHARES_FILE} has no column {error.args[0]}.") from None
        except InvalidInputError as error:
            raise InvalidInputError(f"{SHARES_FILE}, patient {row['patient']}, label {row['label']}: {error}") from None
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


def held_out_predictions(
    prepared: Sequence[Prepared], fitted: Fitted, *, fold: str, cohort_mean: np.ndarray[Any, Any]
) -> list[dict[str, Any]]:
    """Evidence of patients whom a model has not seen: a row of ``preop.evidence.SharesEvidence`` each.

    Parameters
    ----------
    fold
        In which they were held out.
    cohort_mean
        Mean shares (3,) of the patients that the model has learned from.
    """
    patients = [each.patient for each in prepared]
    predicted = {model: fitted.predict(patients, model) for model in MODELS}
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
                "non_desmoplastic": None if each.patient.state == UNKNOWN else each.patient.state,
                "cohort_mean": cohort_mean.tolist(),
                "lesions": [
                    {
                        "label": lesion["number"],
                        "long_axis_mm": lesion["long_axis_mm"],
                        "report": None if report == UNKNOWN else REPORTS[report].tolist(),
                    }
                    for lesion, report in zip(content, each.patient.reports, strict=True)
                ],
                "predictions": {model: _prediction(found[number], each.patient) for model, found in predicted.items()},
                "second": None
                if each.second is None
                else {
                    "labels": [int(name) for name in _labels(each.content[SECOND], content)],
                    **_prediction(next(by_second), each.second),
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


def _prediction(prediction: PatientPrediction, patient: Patient) -> dict[str, Any]:
    """A prediction as numbers; the log score where there is a report."""
    return {
        "non_desmoplastic": prediction.non_desmoplastic,
        "lesions": [
            {
                "mean": lesion.mean.tolist(),
                "pure": lesion.pure_desmoplastic,
                "at_least_half": lesion.at_least(),
                "predominant": list(lesion.predominant.values()),
                "log_score": None if report == UNKNOWN else math.log(max(float(lesion.probabilities[report]), 1e-12)),
                "interval": lesion.interval(Pattern.DESMOPLASTIC),
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
        patches = np.load(folder / f"{name}.npy", mmap_mode="c")
        chosen = patches if len(kept) == len(patches) else patches[list(kept)]
        features = [each["features"] for each in lesions]
        return Patient(row.name, row.centre, features, chosen, reports, state_of(reports, stated), row.group)

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


def _description(prepared: Sequence[Prepared], fitted: Fitted, settings: Settings, threshold: float) -> Description:
    lesions = [lesion for each in prepared for lesion in each.content[FIRST]]
    return Description(
        network=settings.network,
        networks=len(fitted.by_torch),
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
