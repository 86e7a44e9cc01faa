"""Fits the probability of malignancy on a cohort that pathology has staged, and validates the stage that follows.

Organs and lesions are found once for each patient, by networks that are taken from a model folder; the network of
lesions may be trained here, and then a patient's are found by one that has not seen the patient. What learns on top of
them does so inside the folds. Clinical staging and the clinical rule stand beside it.
"""

from __future__ import annotations

import csv
import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from preop import tables
from preop.cohort import Cohort, Patient, learning_folder, measure_patients, training_images_file
from preop.errors import InvalidInputError
from preop.evidence import NodeRecord, StagedPatient, StageEvidence, ValidationFigures
from preop.folders import open_resumable_run
from preop.grandchallenge.values import read_json, to_json
from preop.imaging import axial_axis, check_hu, check_suv, to_common_frame
from preop.likeness import LIKENESS, known, references_file
from preop.report.training import write_report
from preop.segmentation import OrganNetworks, load_network, load_organ_networks, remove_small_components
from preop.segmentation.network import Network
from preop.staging import (
    Edition,
    N,
    NodeShares,
    Side,
    Station,
    nodal_stage,
    stages_of,
)
from preop.study import TrainingData, files_in, model_info, write_model
from preop.tabular import LogisticModel

from .assessment import CT, PET, Information, predict_from_organs, stage_nodes
from .inference import draw_by_network, draw_by_uptake
from .lesion_training import LesionNetwork, train_lesion_networks
from .lesions import SEGMENTATION, Kind, Lesion
from .likeness import references_of, scan_measures
from .malignancy import LABELS, Example, Truth, above, features_of
from .malignancy import fit as fit_malignancy
from .model import (
    DESCRIPTION_FILE,
    LESIONS_FOLDER,
    ORGANS,
    ORGANS_FOLDER,
    PACKAGES,
    Description,
    Details,
    PetThreshold,
    digests,
)

PATHOLOGY, READER = "n_stage", "clinical_n"
SAMPLED, POSITIVE = "sampled_stations", "involved_stations"
LESION_TRUTH_FILE = "lesion_truth.csv"
FINDINGS_FILE = "findings.json"
MATCH_MM = 6.0
"""A node that was found is the one of the table whose centre is nearest, if not further away than this or half its length."""

ALGORITHM, CLINICAL = "the algorithm", "clinical staging (cN)"
RULES = {"blood_pool": "uptake above the mediastinum", "liver": "uptake above the liver"}
_LEARNED = {
    False: "the probability of malignancy and its calibration learn on the other folds, the networks on patients of their "
    "own",
    True: "the network of lesions, the probability of malignancy and its calibration learn on the other folds, the "
    "networks of organs on patients of their own",
}


class Settings(BaseModel):
    """Settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lesions: Literal["given", "network", "pet", "train"] = Field(
        "network",
        description="what draws the lesions of the training patients: the cohort's lesion-segmentation, the network, "
        "thresholds of uptake, or networks that are trained on the cohort's lesion-segmentation first; the model then "
        "draws by the network, or by thresholds where pet is chosen",
    )
    lesion_network: LesionNetwork = Field(LesionNetwork(), description="what is trained, where it is")
    networks: Path | None = Field(
        None, description="folder that holds organs/ and lesions/; by default the networks that come with the algorithm"
    )
    pet: PetThreshold = Field(PetThreshold(), description="thresholds of uptake")
    penalty: float = Field(1.0, gt=0, description="of the squared coefficients of the probability of malignancy")
    folds: int = Field(5, ge=2, description="outer folds of the validation, and inner ones of the calibration")
    seed: int = Field(0, ge=0, description="of the folds")


@dataclass(frozen=True)
class Networks:
    """Where the networks lie that find organs and lesions.

    Attributes
    ----------
    organs, lesions
        Folders in the layouts of TotalSegmentator and nnU-Net; none for lesions where uptake alone draws them.
    fold_of
        By patient, the fold whose network of lesions has not seen the patient; empty where none was trained on them.
    """

    organs: Path
    lesions: Path | None
    fold_of: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """What was found in a patient, and what is known.

    Attributes
    ----------
    patient
        Of the cohort.
    reference, edition
        Category by pathology.
    example
        Nodes with their features and shares, and the truth at its finest level.
    side
        Of the primary, as it was given or found.
    by_rule
        Whether each node is above the blood pool and the liver.
    nodes
        Station of each node.
    slice_mm
        Distance of slices.
    likeness
        Measures by which others are compared with the training patients.
    """

    patient: Patient
    reference: N
    edition: Edition
    example: Example
    side: Side | None
    by_rule: Mapping[str, Sequence[bool | None]]
    nodes: Sequence[Station]
    slice_mm: float
    likeness: Mapping[str, float]


def fit(cohort: Cohort, model: Path, report: Path, settings: Settings) -> ValidationFigures:
    """Train and validate on a cohort, as :meth:`preop.study.Training.fit` says."""
    open_resumable_run(report, {"settings": settings.model_dump_json()})
    work = report / "work"
    folds = _folds(cohort.patients, settings)
    networks = _sources(cohort, folds, settings, work)
    examined = examine(cohort, networks, settings, work / "patients")
    held_out = _validated(examined, folds, settings)
    final = fit_malignancy([each.example for each in examined], penalty=settings.penalty, folds=list(folds.values()))
    evidence = _evidence(examined, folds, held_out, final, settings)
    validation = evidence.validation
    organs, lesions = _networks(networks.organs, networks.lesions)
    description = Description(
        lesions="pet" if settings.lesions == "pet" else "network",
        pet=settings.pet,
        trained_with=digests(organs, lesions),
        slice_mm=max(each.slice_mm for each in examined),
        malignancy=final,
    )
    info = model_info(
        cohort.algorithm,
        training_data=TrainingData(
            **cohort.source.model_dump(),
            patients=len(examined),
            events=sum(each.reference is not N.N0 for each in examined),
            cohort_sha256=cohort.sha256,
        ),
        seed=settings.seed,
        packages=PACKAGES,
        validation=validation,
    )
    files: dict[str, bytes | Path] = {
        DESCRIPTION_FILE: to_json(description.model_dump(mode="json")).encode(),
        **references_file(references_of([each.likeness for each in examined])),
    }
    for source, name in ((networks.organs, ORGANS_FOLDER), (networks.lesions, LESIONS_FOLDER)):
        if source is not None:
            files |= {f"{name}/{path}": file for path, file in files_in(source).items()}
    files |= training_images_file(cohort, work)
    write_model(model, info, files, Details)
    write_report(evidence, report, title=cohort.algorithm.title, source=cohort.source, model=model)
    shutil.rmtree(work, ignore_errors=True)
    return validation


def _sources(cohort: Cohort, folds: Mapping[str, Sequence[int]], settings: Settings, work: Path) -> Networks:
    """Say where the networks lie, after training those of the lesions where that is asked."""
    folder = settings.networks or cohort.algorithm.folder / "model"
    if settings.lesions == "train":
        images = {
            f"{patient.name}, {slug}": path
            for patient in cohort.patients
            for slug, path in patient.case.image_paths.items()
        }
        trained = learning_folder(work, cohort, images) / LESIONS_FOLDER
        train_lesion_networks(cohort, list(folds.values()), settings.lesion_network, trained, seed=settings.seed)
        fold_of = {
            cohort.patients[place].name: number for number, places in enumerate(folds.values()) for place in places
        }
        return Networks(folder / ORGANS_FOLDER, trained, fold_of)
    return Networks(folder / ORGANS_FOLDER, None if settings.lesions == "pet" else folder / LESIONS_FOLDER)


def examine(cohort: Cohort, networks: Networks, settings: Settings, work: Path) -> list[Examined]:
    """Find organs, stations and lesions of all patients.

    Parameters
    ----------
    work
        Folder where finished patients are kept, so that a stopped run goes on from there.
    """
    # A wrong table is refused before the long work.
    references = {patient.name: (_reference(patient), _sampled(patient)) for patient in cohort.patients}
    truth = _node_truth(cohort)
    folders = measure_patients(
        cohort,
        work,
        functools.partial(_examine, networks=networks, settings=settings),
        settings=[settings.lesions, settings.pet.model_dump(), dict(networks.fold_of)],
        inputs=[folder for folder in (networks.organs, networks.lesions) if folder is not None],
        columns=(),
        description="Finding organs and lesions",
    )
    return [
        _examined(
            patient,
            read_json(folders[patient.name] / FINDINGS_FILE),
            *references[patient.name],
            truth.get(patient.name),
        )
        for patient in cohort.patients
    ]


def _examine(patient: Patient, folder: Path, *, networks: Networks, settings: Settings) -> None:
    """Write what was found in a patient into a folder."""
    organ_networks, network = _networks(networks.organs, networks.lesions, networks.fold_of.get(patient.name))
    ct, pet = patient.case.image(CT), patient.case.image(PET)
    check_hu(ct, name=CT)
    check_suv(pet, name=PET, brain=False)
    suv, _ = to_common_frame(pet, ct)
    organs = remove_small_components(organ_networks.segment(ct))
    if settings.lesions == "given":
        segmentation = patient.case.image(SEGMENTATION)
    elif network is not None:
        segmentation = draw_by_network(ct, suv, network)
    else:
        segmentation = draw_by_uptake(suv, organs, settings.pet)
    found = predict_from_organs(suv, organs, segmentation, Information.of(patient.case), lambda _: 0.5)
    content = {
        "side": None if found.side is None else str(found.side),
        "slice_mm": ct.spacing_mm[axial_axis(ct.geometry)],
        "nodes": [_node_content(node) for node in found.nodes],
        LIKENESS: known(scan_measures(ct, pet)),
    }
    (folder / FINDINGS_FILE).write_text(to_json(content), encoding="utf-8")


def _node_content(node: Lesion) -> dict[str, Any]:
    return {
        # JSON knows no NaN: what is not known is left out.
        "features": {name: value for name, value in features_of(node).items() if np.isfinite(value)},
        "shares": {str(station): share for station, share in node.shares.items()},
        "station": str(node.station),
        "centre_mm": node.centre_mm,
        "long_axis_mm": node.long_axis_mm,
        "above": {reference: above(node, reference) for reference in RULES},
    }


def _examined(
    patient: Patient,
    content: Mapping[str, Any],
    reference: N,
    stations: Mapping[Station, bool],
    table: Sequence[Mapping[str, str]] | None,
) -> Examined:
    nodes = content["nodes"]
    information = Information.of(patient.case)
    side = Side(content["side"]) if content["side"] else None
    truth = Truth(
        nodes=tuple(None if table is None else _is_malignant(node, table) for node in nodes),
        stations=stations,
        category=reference,
        side=side,
        edition=information.edition,
    )
    rows = tuple({name: node["features"].get(name, np.nan) for name in LABELS} for node in nodes)
    shares = tuple({Station.parse(name): share for name, share in node["shares"].items()} for node in nodes)
    return Examined(
        patient,
        reference,
        information.edition,
        Example(rows, shares, truth),
        side,
        {rule: [node["above"][rule] for node in nodes] for rule in RULES},
        [Station.parse(node["station"]) for node in nodes],
        content["slice_mm"],
        content[LIKENESS],
    )


def _is_malignant(node: Mapping[str, Any], table: Sequence[Mapping[str, str]]) -> bool:
    """Look a node up in the table of all nodes of its patient; what is not in it is no metastasis."""
    if not table:
        return False
    centres = np.array([[tables.number(row[axis], axis) for axis in ("x_mm", "y_mm", "z_mm")] for row in table])
    distances = np.linalg.norm(centres - np.array(node["centre_mm"]), axis=1)
    nearest = int(distances.argmin())
    return bool(
        distances[nearest] <= max(MATCH_MM, node["long_axis_mm"] / 2)
        and tables.whole_number(table[nearest]["malignant"], "malignant")
    )


def _validated(
    examined: Sequence[Examined], folds: Mapping[str, Sequence[int]], settings: Settings
) -> dict[int, list[float]]:
    """Probability of each node of each patient, by a model that did not know the patient."""
    predictions: dict[int, list[float]] = {}
    for name, held_out in folds.items():
        others = [place for fold, places in folds.items() if fold != name for place in places]
        inner = [[others.index(place) for place in places] for fold, places in folds.items() if fold != name]
        fitted = fit_malignancy([examined[place].example for place in others], penalty=settings.penalty, folds=inner)
        predictions |= {place: [fitted.probability(row) for row in examined[place].example.rows] for place in held_out}
    return predictions


def _evidence(
    examined: Sequence[Examined],
    folds: Mapping[str, Sequence[int]],
    held_out: Mapping[int, Sequence[float]],
    final: LogisticModel,
    settings: Settings,
) -> StageEvidence:
    fold_of = {place: name for name, places in folds.items() for place in places}
    return StageEvidence(
        protocol=f"{settings.folds}-fold cross-validation by patient; {_LEARNED[settings.lesions == 'train']}",
        raters=(ALGORITHM, CLINICAL, *RULES.values()),
        terms={LABELS[term.name]: term.coefficient for term in final.terms},
        settings=settings.model_dump(mode="json", exclude={"networks"}),
        patients=tuple(_staged(each, held_out[place], fold_of[place]) for place, each in enumerate(examined)),
        nodes=tuple(
            NodeRecord(patient=each.patient.name, station=str(station), probability=probability, malignant=malignant)
            for place, each in enumerate(examined)
            for station, probability, malignant in zip(
                each.nodes, held_out[place], each.example.truth.nodes, strict=True
            )
            if malignant is not None
        ),
    )


def _staged(each: Examined, probabilities: Sequence[float], fold: str) -> StagedPatient:
    nodes = [NodeShares(p, shares) for p, shares in zip(probabilities, each.example.shares, strict=True)]
    of, explanation = stage_nodes(nodes, each.side, each.edition)
    involved = [station for station in explanation if station is not None]
    read = each.patient.row.get(READER, "")
    return StagedPatient(
        patient=each.patient.name,
        centre=each.patient.centre,
        fold=fold,
        reference=each.reference,
        called={
            ALGORITHM: nodal_stage(involved, each.side, each.edition).category,
            CLINICAL: stages_of([read])[0] if read else None,
            **{words: _by_rule(each, rule) for rule, words in RULES.items()},
        },
        probabilities=dict(of.of),
        sampled=tuple(map(str, each.example.truth.stations)),
        positive=tuple(str(station) for station, positive in each.example.truth.stations.items() if positive),
        involved=tuple(dict.fromkeys(map(str, involved))),
    )


def _by_rule(each: Examined, rule: str) -> N | None:
    called = each.by_rule[rule]
    if any(positive is None for positive in called):
        return None
    stations = [station for station, positive in zip(each.nodes, called, strict=True) if positive]
    return nodal_stage(stations, each.side, each.edition).category


def _folds(patients: Sequence[Patient], settings: Settings) -> dict[str, list[int]]:
    """Divide the patients at random, each category evenly; rows of one person, by their group, stay together."""
    owners = [patient.group or patient.name for patient in patients]
    highest: dict[str, int] = {}
    for owner, patient in zip(owners, patients, strict=True):
        highest[owner] = max(highest.get(owner, 0), _reference(patient).severity)
    rng = np.random.default_rng(settings.seed)
    people = list(highest)
    shuffled = [people[place] for place in rng.permutation(len(people)).tolist()]
    ordered = sorted(shuffled, key=lambda owner: highest[owner])
    folds: dict[str, list[int]] = {}
    for number in range(settings.folds):
        chosen = set(ordered[number :: settings.folds])
        folds[str(number)] = [place for place, owner in enumerate(owners) if owner in chosen]
    if any(not places for places in folds.values()):
        raise InvalidInputError(
            f"{len(people)} patients cannot be divided into {settings.folds} folds: give more patients or fewer folds."
        )
    return folds


def _reference(patient: Patient) -> N:
    written = patient.row.get(PATHOLOGY, "")
    if not written:
        raise InvalidInputError(
            f"Patient {patient.name} has no {PATHOLOGY}: give the pathological N category, N0 to N3, of every patient."
        )
    category = stages_of([written])[0]
    if category is N.NX:
        raise InvalidInputError(f"Patient {patient.name} has the {PATHOLOGY} NX, from which nothing can be learned.")
    return category


def _sampled(patient: Patient) -> dict[Station, bool]:
    """Sampled stations, and whether each held a metastasis."""
    sampled, positive = (
        [Station.parse(name) for name in patient.row.get(column, "").replace(",", " ").split()]
        for column in (SAMPLED, POSITIVE)
    )
    return {station: station in positive for station in dict.fromkeys([*sampled, *positive])}


def _node_truth(cohort: Cohort) -> dict[str, list[dict[str, str]]]:
    """Nodes in ``lesion_truth.csv`` beside the cohort table, by patient; it lists all nodes of each of its patients."""
    path = cohort.path.with_name(LESION_TRUTH_FILE)
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == Kind.NODE]
    return {patient.name: [row for row in rows if row["patient"] == patient.name] for patient in cohort.patients}


@functools.cache
def _networks(organs: Path, lesions: Path | None, fold: int | None = None) -> tuple[OrganNetworks, Network | None]:
    """Load the networks once in each process, on one thread: the patients share the cores already."""
    folds = None if fold is None else [fold]
    network = None if lesions is None else load_network(lesions, folds=folds, threads=1)
    return load_organ_networks(organs, ORGANS, threads=1), network
