"""Fits the network on a cohort of which only the number of positive nodes is known, and validates it.

Everything that learns does so inside the folds: an ensemble is trained without each outer fold (weights, early
stopping, temperature), then predicts that fold, and is compared with the size rule of clinicians. The final ensemble is
trained in the same way on all patients.
"""

from __future__ import annotations

import csv
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from preop.cohort import Cohort, Patient, learning_folder, map_patients, measure_patients, training_images_file
from preop.errors import InvalidInputError
from preop.evidence import BagEvidence, ValidationFigures
from preop.folders import open_resumable_run
from preop.grandchallenge.values import read_json, to_json
from preop.likeness import LIKENESS, references_file
from preop.mil import Augmentation, Bag, HeldOut, Part, cross_validate, portable_ensemble
from preop.mil import Settings as MilSettings
from preop.mil import fit as fit_ensemble
from preop.portable import check_writing
from preop.report.training import write_report
from preop.statistics import auc, oracle_auc, youden_threshold
from preop.study import Range, TrainingData, model_info, write_model
from preop.tables import number, whole_number

from .likeness import references_of
from .lymph_nodes import FEATURES, SIZE_RULE_MM
from .model import DESCRIPTION_FILE, ENCODER_FILE, Description, Details, GivenEncoder
from .network import make_network, mirrored
from .pathology import (
    FIELDS_FILE,
    PLACES_FILE,
    FieldReport,
    Place,
    check_total,
    parts_of_fields,
    parts_of_total,
    read_fields,
    read_places,
)
from .preparation import CUBES_FILE, FEATURES_FILE, NODES_FILE, prepare_patient
from .scorer import learn_monotone
from .settings import NetworkSettings

LOW, HIGH, OUTCOME = "positive_nodes_low", "positive_nodes_high", "lymph_node_metastasis"
REMOVED = "removed_nodes"
NODE_TRUTH_FILE, PATIENT_TRUTH_FILE = "node_truth.csv", "patient_truth.csv"
DEFINED_ON = 0.5
"""Share of the nodes on which a radiomics feature must be defined; on smaller ones many features are not."""
USUAL_PERCENTILES = (5, 95)
"""Of the training patients' densities: the extremes are single scans, compared with which little would be unusual."""
_SOFTWARE = ("preop", "torch", "monai", "numpy", "SimpleITK")


class Settings(BaseModel):
    """Settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings = Field(NetworkSettings(), description="what a node is to the network, and its head")
    training: MilSettings = Field(
        MilSettings(epochs=30, patience=6, learning_rate=2e-3, instances_per_batch=128, folds=3),
        description="of each member of an ensemble: preop.mil",
    )
    folds: int = Field(5, ge=2, description="outer folds of the validation")
    leave_centres_out: bool = Field(False, description="validate on each centre by the others, too; doubles the time")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A patient ready for learning.

    Attributes
    ----------
    patient
        Of the cohort.
    nodes
        What ``lymph_nodes.find_lymph_nodes`` measured of each node, by name.
    truth
        Whether each node is positive, None where nobody knows.
    slice_mm
        Distance between slices.
    likeness
        Measures by which others are compared with the training patients.
    encoder
        What made the features of the nodes, as their file says; "" where it does not, or where there are none.
    bag
        What the network learns from.
    """

    patient: Patient
    nodes: Sequence[Mapping[str, Any]]
    truth: Sequence[int | None]
    slice_mm: float
    likeness: Mapping[str, float]
    encoder: str
    bag: Bag


def fit(cohort: Cohort, model: Path, report: Path, settings: Settings) -> ValidationFigures:
    """Train and validate on a cohort, as :meth:`preop.study.Training.fit` says."""
    check_writing()
    open_resumable_run(report, {"settings": settings.model_dump_json()})
    work = report / "work"
    prepared, measured, folders = prepare(cohort, settings.network, work / "patients")
    learned = learning_folder(work, cohort, folders, tables=(NODE_TRUTH_FILE, FIELDS_FILE, PLACES_FILE))
    bags = [each.bag for each in prepared]
    encoder = _given_encoder(prepared) if settings.network.instances == "features" else None
    network = partial(make_network, settings.network, len(measured) if encoder is None else encoder.features)
    augment: Augmentation | None = mirrored if settings.network.instances == "cubes" else None
    learn = learn_monotone if settings.network.instances == "signs" else None
    held_out = cross_validate(
        network,
        bags,
        settings.training,
        folds=settings.folds,
        folder=learned / "validation",
        augment=augment,
        learn=learn,
        each=map_patients,
    )
    by_centre: list[HeldOut] = []
    if settings.leave_centres_out:
        by_centre = cross_validate(
            network,
            bags,
            settings.training,
            by="centre",
            folder=learned / "centres",
            augment=augment,
            learn=learn,
            each=map_patients,
        )
    ensemble = fit_ensemble(
        network, bags, settings.training, folder=learned / "final", augment=augment, learn=learn, each=map_patients
    )

    threshold = _threshold(prepared, held_out)
    evidence = _evidence(cohort, prepared, held_out, by_centre, threshold, settings)
    validation = evidence.validation
    densities = [float(np.median([node["p90_hu"] for node in each.nodes])) for each in prepared]
    description = Description(
        network=settings.network,
        measured=measured,
        threshold=threshold,
        nodes=Range.of(len(each.nodes) for each in prepared),
        median_hu=Range.of(np.percentile(densities, USUAL_PERCENTILES).tolist(), digits=0),
        slice_mm=Range.of(each.slice_mm for each in prepared),
    )
    files = {
        **ensemble.to_files(),
        **portable_ensemble(ensemble, [part.numpy() for part in bags[0].instances]),
        DESCRIPTION_FILE: to_json(description.model_dump(mode="json")).encode(),
        **({} if encoder is None else {ENCODER_FILE: to_json(encoder.model_dump(mode="json")).encode()}),
        **references_file(references_of([each.likeness for each in prepared])),
    }
    info = model_info(
        cohort.algorithm,
        training_data=TrainingData(
            **cohort.source.model_dump(),
            patients=len(prepared),
            events=sum(each.bag.positive is True for each in prepared),
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


def prepare(
    cohort: Cohort, network: NetworkSettings, work: Path
) -> tuple[list[Prepared], tuple[str, ...], Mapping[str, Path]]:
    """Cut or measure the nodes of all patients.

    Parameters
    ----------
    work
        Folder where finished patients are kept, so that a stopped run goes on from there.

    Returns
    -------
    The patients, in the order of the cohort; the names of the radiomics features, where those are the instances; and
    the folder of each patient.
    """
    reports = {patient.name: reported_count(patient) for patient in cohort.patients}  # refused before the long work
    fields = read_fields(cohort.path.with_name(FIELDS_FILE))
    for patient in cohort.patients:
        low, high = reports[patient.name]
        if patient.name in fields:
            check_total(patient.name, fields[patient.name], low, high)
        _removed(patient, low)
    places = read_places(cohort.path.with_name(PLACES_FILE))
    folders = measure_patients(
        cohort,
        work,
        partial(prepare_patient, instances=network.instances, measures=network.measures),
        settings=f"{network.instances}, {network.measures} measures",
        columns=(),
        description="Cutting out lymph nodes",
    )
    stored = [read_json(folder / NODES_FILE) for folder in folders.values()]
    measured = _measured([row for each in stored for row in each["radiomics"]])
    truths = {
        (row["patient"], whole_number(row["label"], "label")): whole_number(row["positive"], "positive")
        for row in _truth(cohort, NODE_TRUTH_FILE)
    }
    prepared = []
    for patient, each in zip(cohort.patients, stored, strict=True):
        low, high = reports[patient.name]
        truth = [truths.get((patient.name, node["number"])) for node in each["nodes"]]
        bag = Bag(
            patient.name,
            _instances(folders[patient.name], each, measured, network),
            low,
            high,
            torch.tensor(truth) if None not in truth else None,
            patient=patient.group,
            centre=patient.centre,
            may_lack=network.instances == "radiomics" or network.measures == "spatial",
            parts=_parts(patient, each["nodes"], (low, high), fields.get(patient.name, ()), places, network),
        )
        prepared.append(Prepared(patient, each["nodes"], truth, each["slice_mm"], each[LIKENESS], each["encoder"], bag))
    return prepared, measured, folders


def reported_count(patient: Patient) -> tuple[float, float]:
    """Fewest and most positive nodes that are possible after the pathologist's report.

    Raises
    ------
    InvalidInputError
        If nothing is known of the patient, or the columns contradict each other.
    """
    known = {column: patient.reference_number(column) for column in (LOW, HIGH, OUTCOME) if patient.row.get(column)}
    if not known:
        raise InvalidInputError(
            f"Patient {patient.name} has neither {LOW} and {HIGH} nor {OUTCOME}: give the count of positive nodes, or 0 "
            "or 1 where only pN0 or pN+ is known."
        )
    by_stage = {0.0: (0.0, 0.0), 1.0: (1.0, math.inf)}.get(known.get(OUTCOME, math.nan), (0.0, math.inf))
    low = max(known.get(LOW, by_stage[0]), by_stage[0])
    high = min(known.get(HIGH, by_stage[1]), by_stage[1])
    if low > high or low < 0 or known.get(OUTCOME, 0) not in (0, 1):
        written = ", ".join(f"{column} {value:g}" for column, value in known.items())
        raise InvalidInputError(
            f"Patient {patient.name} has {written}, which contradict each other: correct the table."
        )
    return low, high


def _parts(
    patient: Patient,
    nodes: Sequence[Mapping[str, Any]],
    reported: tuple[float, float],
    fields: Sequence[FieldReport],
    places: Mapping[tuple[str, int], Place],
    network: NetworkSettings,
) -> tuple[Part, ...] | None:
    """Give what was counted together, as far as the cohort knows it; None where it knows the count alone."""
    if not network.counts:
        return None
    if fields:
        named = [places.get((patient.name, node["number"]), ("", "")) for node in nodes]
        where = [(side or node["side"], region) for (side, region), node in zip(named, nodes, strict=True)]
        return parts_of_fields(where, fields, network)
    removed = _removed(patient, reported[0])
    if removed is None:
        return None
    return parts_of_total(len(nodes), *reported, removed, network) if removed else ()


def _removed(patient: Patient, positive: float) -> float | None:
    """Give the number of removed nodes, of which so many are positive or more; None where it is not known.

    Raises
    ------
    InvalidInputError
        If fewer were removed.
    """
    if not patient.row.get(REMOVED):
        return None
    removed = patient.reference_number(REMOVED)
    if removed < positive:
        raise InvalidInputError(
            f"Patient {patient.name} has {removed:g} {REMOVED} and at least {positive:g} positive ones: correct the table."
        )
    return removed


def _given_encoder(prepared: Sequence[Prepared]) -> GivenEncoder:
    """Say whose features all patients have.

    Raises
    ------
    InvalidInputError
        If they are of different encoders.
    """
    found: dict[GivenEncoder, str] = {}
    for each in prepared:
        encoder = GivenEncoder(name=each.encoder, features=each.bag.instances[0].shape[1])
        found.setdefault(encoder, each.patient.name)
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise InvalidInputError(
            f"{FEATURES} of {first} holds {one.features} features of the encoder {one.name or '(not named)'}, that of {second} "
            f"{other.features} of {other.name or '(not named)'}; expected those of one encoder."
        )
    return next(iter(found))


def _measured(rows: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """Names of the features that are defined on nearly all nodes."""
    defined = Counter(name for row in rows for name in row)
    return tuple(sorted(name for name, count in defined.items() if count >= DEFINED_ON * len(rows)))


def _instances(
    folder: Path, stored: Mapping[str, Any], measured: Sequence[str], network: NetworkSettings
) -> tuple[torch.Tensor, ...]:
    if network.instances == "radiomics":
        return (torch.tensor([[row.get(name, math.nan) for name in measured] for row in stored["radiomics"]]),)
    measures = torch.tensor([[math.nan if value is None else value for value in row] for row in stored["measures"]])
    if network.instances in ("measures", "signs"):
        return (measures,)
    if network.instances == "features":
        return torch.from_numpy(np.load(folder / FEATURES_FILE)), measures
    # Read from the disk when it is needed: the cubes of 250 patients take 2.4 GB.
    cubes = torch.from_numpy(np.load(folder / CUBES_FILE, mmap_mode="c"))
    return cubes, measures


def _truth(cohort: Cohort, name: str) -> list[dict[str, str]]:
    """Rows of a table of the truth beside the cohort table, where there is one."""
    path = cohort.path.with_name(name)
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _oracle(cohort: Cohort) -> dict[str, float] | None:
    """AUCs of an observer who knows what the simulated patients were made from."""
    patients, nodes = _truth(cohort, PATIENT_TRUTH_FILE), _truth(cohort, NODE_TRUTH_FILE)
    if not patients or not nodes:
        return None
    positive = {row["patient"] for row in nodes if row["positive"] == "1"}
    inside = [row for row in nodes if row["patient"] in positive]
    return {
        "patient_auc": oracle_auc(
            np.array([number(row["oracle_probability"], "oracle_probability") for row in patients])
        ),
        "instance_auc": auc(
            [whole_number(row["positive"], "positive") for row in inside],
            [number(row["oracle_probability"], "oracle_probability") for row in inside],
        ),
    }


def _threshold(prepared: Sequence[Prepared], held_out: Sequence[HeldOut]) -> float:
    """Likelihood at which sensitivity and specificity together are largest in the validation."""
    known = [
        (each.bag.positive, held_out_prediction.prediction.probability)
        for each, held_out_prediction in zip(prepared, held_out, strict=True)
        if each.bag.positive is not None
    ]
    return youden_threshold(np.array([positive for positive, _ in known]), np.array([score for _, score in known]))


def _evidence(
    cohort: Cohort,
    prepared: Sequence[Prepared],
    held_out: Sequence[HeldOut],
    by_centre: Sequence[HeldOut],
    threshold: float,
    settings: Settings,
) -> BagEvidence:
    monotone = settings.network.instances == "signs"
    centres: dict[str, list[dict[str, Any]]] = {}
    for each in by_centre:
        row = {"patient": each.prediction.name, "probability": each.prediction.probability}
        centres.setdefault(each.fold, []).append(row)
    content = {
        "positive_name": "pN+",
        "instance_name": "lymph node",
        "model": f"{settings.network.head} on {settings.network.instances}",
        "protocol": f"{settings.folds}-fold cross-validation by patient; all that learns does so on the other folds, "
        f"with {'' if monotone else 'early stopping and '}temperature by {settings.training.folds} folds inside",
        "threshold": threshold,
        "settings": settings.model_dump(mode="json"),
        "rule": {
            "name": "size rule",
            "score_name": "largest short axis",
            "instance_score_name": "short axis",
            "unit": "mm",
            "threshold": SIZE_RULE_MM,
        },
        "patients": [_patient_evidence(*pair) for pair in zip(prepared, held_out, strict=True)],
        "by_centre": centres,
        "oracle": _oracle(cohort),
    }
    return BagEvidence.read(content)


def _patient_evidence(each: Prepared, held_out: HeldOut) -> dict[str, Any]:
    prediction = held_out.prediction
    counts = prediction.counts
    return {
        "patient": each.patient.name,
        "centre": each.patient.centre,
        "fold": held_out.fold,
        "low": int(each.bag.low),
        "high": None if math.isinf(each.bag.high) else int(each.bag.high),
        "probability": prediction.probability,
        "expected": prediction.expected,
        "counts": None if counts is None else counts.tolist(),
        "rule_score": max(node["short_axis_mm"] for node in each.nodes),
        "instances": [
            {
                "name": str(node["number"]),
                "contribution": float(contribution),
                "rule_score": node["short_axis_mm"],
                "truth": truth,
            }
            for node, contribution, truth in zip(each.nodes, prediction.contributions.tolist(), each.truth, strict=True)
        ],
    }
