"""Fits both models on a cohort: the logistic model of the score card, and a head over the features of tiles.

Everything that learns does so inside the folds, and both models have the same ones: a fold's cards are read by a model of
the other folds' cards, its tiles by an ensemble of the other folds' bags (weights, early stopping, temperature). Combining
them learns nothing. The growth pattern is all that is known of a patient. Networks and encoder are taken as they are.
"""

from __future__ import annotations

import csv
import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.cohort import Cohort, Patient, learning_folder, map_patients, measure_patients, training_images_file
from preop.errors import InvalidInputError
from preop.evidence import ModelsEvidence, ValidationFigures
from preop.folders import open_resumable_run
from preop.grandchallenge.cases import Case
from preop.grandchallenge.options import Options
from preop.grandchallenge.values import read_json, to_json
from preop.imaging import Image
from preop.likeness import known, references_file
from preop.mil import Bag, HeldOut, cross_validate
from preop.mil import Settings as MilSettings
from preop.mil import fit as fit_ensemble
from preop.portable import check_writing
from preop.report.training import write_report
from preop.slides import Encoder, FeatureStore, TileFeatures, read_encoder
from preop.statistics import oracle_auc, youden_threshold
from preop.study import TrainingData, files_in, model_info, write_model
from preop.tabular.splits import INNER_FOLDS

from .card_model import TITLES, CardModel, fit_card_model
from .examination import MASK, MASK_PIXEL_MM, SLIDE, card_of_patient, open_slide, score_slide
from .inference import combine
from .likeness import measures_of_case, references_of
from .model import (
    CARD,
    CARD_FILE,
    COMBINED,
    DESCRIPTION_FILE,
    ENCODER_FOLDER,
    NETWORKS_FOLDER,
    PACKAGES,
    TILES,
    Description,
    Details,
)
from .networks import Networks
from .pathology_report import with_report
from .portable import portable_bags
from .readers import make_network
from .score_card import ScoreCard
from .tissue import load_torch_networks
from .weakly_supervised import NetworkSettings, bag_of

OUTCOME = "desmoplastic"
READER = "reader_"
"""Before the name of an item: column with a reader's score of it."""
TRUTH_FILE = "card_truth.csv"
COUNT = "unfavourable items, counted"


class Settings(BaseModel):
    """Settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings = Field(NetworkSettings(), description="what reads the features of tiles")
    training: MilSettings = Field(
        MilSettings(epochs=40, patience=10, folds=3, instances_per_batch=1024, instances_per_chunk=1024),
        description="of each member of an ensemble: preop.mil",
    )
    folds: int = Field(5, ge=2, description="outer folds of the validation")
    leave_centres_out: bool = Field(
        True, description="validate on each centre by the others, too, where there are two or more"
    )
    networks: Path | None = Field(
        None, description="folder that holds encoder/ and networks/; by default those that come with the algorithm"
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A patient ready for learning, of all slides.

    Attributes
    ----------
    patient
        Of the cohort.
    card
        The patient's score card.
    min_tiles, max_tiles
        Of the patient's slides.
    likeness
        Measures of the patient's first slide, by which others are compared with those of the training.
    bag
        Features of the tiles; positive where the growth is desmoplastic.
    """

    patient: Patient
    card: ScoreCard
    min_tiles: int
    max_tiles: int
    likeness: Mapping[str, float]
    bag: Bag

    @property
    def desmoplastic(self) -> bool:
        """The patient's growth pattern."""
        return bool(self.bag.positive)


def fit(cohort: Cohort, model: Path, report: Path, settings: Settings) -> ValidationFigures:
    """Train and validate on a cohort, as :meth:`preop.study.Training.fit` says."""
    check_writing()
    parts = settings.networks or cohort.algorithm.folder / "model"
    open_resumable_run(report, {"settings": settings.model_dump_json()})
    work = report / "work"
    prepared, folders = prepare(cohort, parts, settings.network, work / "patients")
    learned = learning_folder(work, cohort, folders)
    bags = [each.bag for each in prepared]
    features = _encoder(parts).info.features
    network = functools.partial(make_network, settings.network, features)
    side_by_side = functools.partial(cross_validate, network, bags, settings.training, each=map_patients)
    held_out = side_by_side(folds=settings.folds, folder=learned / "validation")
    by_centre: list[HeldOut] = []
    if settings.leave_centres_out and len({bag.centre for bag in bags}) > 1:
        by_centre = side_by_side(by="centre", folder=learned / "centres")
    ensemble = fit_ensemble(network, bags, settings.training, folder=learned / "final", each=map_patients)
    card = _card_model(prepared)

    rows = scores_of(prepared, held_out)
    thresholds = {name: _threshold(prepared, rows, name) for name in (CARD, TILES, COMBINED)}
    evidence = _evidence(cohort, prepared, held_out, rows, by_centre, card, thresholds, settings)
    validation = evidence.validation
    description = Description(
        network=settings.network,
        thresholds=thresholds,
        min_tiles=min(each.min_tiles for each in prepared),
        max_tiles=max(each.max_tiles for each in prepared),
    )
    files: dict[str, bytes | Path] = {
        **ensemble.to_files(),
        **portable_bags(ensemble, settings.network, features),
        DESCRIPTION_FILE: to_json(description.model_dump(mode="json")).encode(),
        CARD_FILE: to_json(card.to_json()).encode(),
        **references_file(references_of([each.likeness for each in prepared])),
        **{
            f"{name}/{path}": file
            for name in (ENCODER_FOLDER, NETWORKS_FOLDER)
            for path, file in files_in(parts / name).items()
        },
    }
    info = model_info(
        cohort.algorithm,
        training_data=TrainingData(
            **cohort.source.model_dump(),
            patients=len(prepared),
            events=sum(each.desmoplastic for each in prepared),
            cohort_sha256=cohort.sha256,
        ),
        seed=settings.training.seed,
        packages=PACKAGES,
        validation=validation,
    )
    files |= training_images_file(cohort, work)
    write_model(model, info, files, Details)
    write_report(evidence, report, title=cohort.algorithm.title, source=cohort.source, model=model)
    shutil.rmtree(work, ignore_errors=True)
    return validation


def prepare(
    cohort: Cohort, parts: Path, network: NetworkSettings, work: Path
) -> tuple[list[Prepared], Mapping[str, Path]]:
    """Score and describe the slides of all patients.

    Parameters
    ----------
    parts
        Folder with encoder and networks.
    work
        Folder where finished patients are kept, so that a stopped run goes on from there.

    Returns
    -------
    The patients, in the order of the cohort, and the folder of each.
    """
    outcomes = [growth_pattern(patient) for patient in cohort.patients]  # refused before the long work
    slides = {patient.name: slides_of(patient, cohort.path.parent) for patient in cohort.patients}
    folders = measure_patients(
        cohort,
        work,
        functools.partial(_examine, parts=parts, table_folder=cohort.path.parent),
        inputs=[parts / ENCODER_FOLDER, parts / NETWORKS_FOLDER],
        further=lambda patient: [path for case in slides[patient.name][1:] for path in case.image_paths.values()],
        columns=_columns_of_further_slides(cohort),
        description="Examining slides",
    )
    prepared = []
    for patient, desmoplastic in zip(cohort.patients, outcomes, strict=True):
        cases = slides[patient.name]
        store = FeatureStore(folders[patient.name], _encoder(parts))
        tiles = [_features(store, case) for case in cases]
        bag = bag_of(
            patient.name,
            tiles,
            network,
            low=float(desmoplastic),
            high=np.inf if desmoplastic else 0.0,
            patient=patient.group,
            centre=patient.centre,
        )
        card = card_of_patient(
            [ScoreCard.from_json(read_json(_card_file(folders[patient.name], number))) for number in range(len(cases))]
        )
        counts = [len(each.tiling) for each in tiles]
        likeness = read_json(_likeness_file(folders[patient.name]))
        card = with_report(card, patient.case)
        prepared.append(Prepared(patient, card, min(counts), max(counts), likeness, bag))
    return prepared, folders


def _columns_of_further_slides(cohort: Cohort) -> list[str]:
    return [column for column in cohort.patients[0].row if column.startswith((f"{SLIDE}-", f"{MASK}-"))]


def growth_pattern(patient: Patient) -> bool:
    """Whether the metastases grow desmoplastically.

    Raises
    ------
    InvalidInputError
        If that is not known.
    """
    value = patient.reference_number(OUTCOME)
    if value not in (0, 1):
        raise InvalidInputError(f"Patient {patient.name} has {OUTCOME} {value:g}; expected 0 or 1.")
    return bool(value)


def slides_of(patient: Patient, folder: Path) -> list[Case]:
    """Give a case for each slide of a patient: further ones stand in columns that end in -2, -3, ....

    Raises
    ------
    InvalidInputError
        If a file is missing.
    """
    cases = [patient.case]
    number = 2
    while further := patient.row.get(f"{SLIDE}-{number}"):
        paths = {SLIDE: folder / further}
        if mask := patient.row.get(f"{MASK}-{number}"):
            paths[MASK] = folder / mask
        for path in paths.values():
            if not path.exists():
                raise InvalidInputError(f"Patient {patient.name}: there is no file {path}.")
        cases.append(replace(patient.case, name=f"{patient.name}-{number}", image_paths=paths, values={}, _images={}))
        number += 1
    return cases


def scores_of(prepared: Sequence[Prepared], held_out: Sequence[HeldOut]) -> list[dict[str, float]]:
    """Predict each patient by each model that has not seen the fold that the patient is in.

    Parameters
    ----------
    held_out
        Held-out predictions of the bags, in the order of the patients.
    """
    folds = np.array([prediction.fold for prediction in held_out])
    rows: dict[int, dict[str, float]] = {}
    for fold in np.unique(folds):
        others = [prepared[place] for place in np.flatnonzero(folds != fold).tolist()]
        card = _card_model(others)
        for place in np.flatnonzero(folds == fold).tolist():
            by_card, by_tiles = card.predict(prepared[place].card), held_out[place].prediction.probability
            says = card.says(prepared[place].card)
            rows[place] = {
                # Fewer unfavourable items speak for desmoplastic growth.
                COUNT: -float(len(prepared[place].card.unfavourable)),
                CARD: by_card,
                TILES: by_tiles,
                COMBINED: combine(by_card, by_tiles) if says else by_tiles,
            }
    return [rows[place] for place in range(len(prepared))]


def _card_model(patients: Sequence[Prepared]) -> CardModel:
    return fit_card_model(
        [each.card for each in patients],
        [each.desmoplastic for each in patients],
        [each.patient.group for each in patients],
    )


def _examine(patient: Patient, folder: Path, *, parts: Path, table_folder: Path) -> None:
    """Score and describe the slides of a patient."""
    import torch

    torch.set_num_threads(1)  # the patients share the cores already
    store = FeatureStore(folder, _encoder(parts))
    for number, case in enumerate(slides_of(patient, table_folder)):
        _features(store, case)
        with open_slide(case) as slide:
            card = score_slide(slide, _networks(parts), mask=_mask(case), threads=0)
        _card_file(folder, number).write_text(to_json(card.to_json()), encoding="utf-8")
    _likeness_file(folder).write_text(to_json(known(measures_of_case(patient.case))), encoding="utf-8")


def _features(store: FeatureStore, case: Case) -> TileFeatures:
    return store.features(case.image_paths[SLIDE], um_per_pixel=case.um_per_pixel, mask=_mask(case), threads=0)


def _mask(case: Case) -> Image | None:
    return case.flat_mask(MASK, pixel_mm=MASK_PIXEL_MM) if MASK in case else None


def _card_file(folder: Path, number: int) -> Path:
    return folder / f"card-{number}.json"


def _likeness_file(folder: Path) -> Path:
    return folder / "likeness.json"


@functools.cache
def _networks(parts: Path) -> Networks:
    """Load the networks once in each process."""
    return load_torch_networks(parts / NETWORKS_FOLDER)


@functools.cache
def _encoder(parts: Path) -> Encoder:
    """Load the encoder once in each process."""
    return read_encoder(parts / ENCODER_FOLDER, trust_model=Options.from_environment().trust_model)


def _threshold(prepared: Sequence[Prepared], rows: Sequence[Mapping[str, float]], model: str) -> float:
    """Likelihood at which sensitivity and specificity together are largest in the validation."""
    return youden_threshold(np.array([each.desmoplastic for each in prepared]), np.array([row[model] for row in rows]))


def _evidence(
    cohort: Cohort,
    prepared: Sequence[Prepared],
    held_out: Sequence[HeldOut],
    rows: Sequence[Mapping[str, float]],
    by_centre: Sequence[HeldOut],
    card: CardModel,
    thresholds: Mapping[str, float],
    settings: Settings,
) -> ModelsEvidence:
    centres: dict[str, list[dict[str, Any]]] = {}
    if by_centre:
        for each, unseen, row in zip(prepared, by_centre, scores_of(prepared, by_centre), strict=True):
            centres.setdefault(unseen.fold, []).append({"patient": each.patient.name, "scores": row})
    content = {
        "positive_name": "desmoplastic growth",
        "protocol": f"{settings.folds}-fold cross-validation by patient, the same folds for both models; all that learns does so "
        f"on the other folds, the card's weights drawn towards equal ones by a penalty, and the tiles' ensemble with early stopping and temperature, "
        f"by {INNER_FOLDS} and {settings.training.folds} folds inside; networks and encoder learned on patients of their own",
        "settings": settings.model_dump(mode="json", exclude={"networks"}),
        "models": [
            {"name": COUNT, "baseline": True},
            *({"name": model, "threshold": thresholds[model]} for model in (CARD, TILES, COMBINED)),
        ],
        "patients": [
            {
                "patient": each.patient.name,
                "centre": each.patient.centre,
                "fold": unseen.fold,
                "outcome": int(each.desmoplastic),
                "scores": row,
            }
            for each, unseen, row in zip(prepared, held_out, rows, strict=True)
        ],
        "by_centre": centres,
        "readings": [reading for each in prepared for reading in _readings(each)],
        "weights": [
            {
                "name": TITLES[weight.item],
                "log_odds": weight.log_odds,
                "lower": weight.lower,
                "upper": weight.upper,
            }
            for weight in card.weights
        ],
        "oracle_auc": _oracle(cohort),
    }
    return ModelsEvidence.read(content)


def _readings(each: Prepared) -> list[dict[str, Any]]:
    """Pair items with what a reader scored, where both are known."""
    return [
        {
            "patient": each.patient.name,
            "item": item.title,
            "measured": item.value,
            "read": each.patient.reference_number(READER + item.name),
        }
        for item in each.card.of_the_slide
        if item.value is not None and each.patient.row.get(READER + item.name)
    ]


def _oracle(cohort: Cohort) -> float | None:
    """AUC of an observer who knows what the simulated patients were made from."""
    path = cohort.path.with_name(TRUTH_FILE)
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        chances: NDArray[np.float64] = np.array([float(row["oracle_probability"]) for row in csv.DictReader(file)])
    return oracle_auc(chances)
