"""Training on a cohort of which only the number of positive nodes is known."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bladder_lymph_nodes.inference import load_model, predict
from bladder_lymph_nodes.settings import NetworkSettings
from bladder_lymph_nodes.simulation import simulate
from bladder_lymph_nodes.training import Settings, fit, prepare, reported_count
from preop.cohort import Cohort, Patient, read_cohort
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import check_outputs
from preop.mil import Settings as MilSettings
from tests.conftest import ROOT, one_process, threads_of_torch

ALGORITHM = read_algorithm(ROOT / "algorithms" / "bladder_lymph_nodes")
PATIENTS = 14
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_this_process")]
QUICK = MilSettings(epochs=1, folds=2, instances_per_batch=256)
SMALL = NetworkSettings(instances="cubes", measures="axial", cube_mm=24, channels=(8, 8, 8, 8))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Patients whose reports are exact, a range, or only a stage."""
    folder = tmp_path_factory.mktemp("bladder") / "cohort"
    with one_process():
        simulate(PATIENTS, 3, folder, small=True, given_as_range=0.2, given_as_stage=0.2)
    return read_cohort(folder / "cohort.csv", ALGORITHM)


def patient(**row: str) -> Patient:
    return Patient("p", "", Case(ALGORITHM, "p", {}, {}), row)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"positive_nodes_low": "3", "positive_nodes_high": "3"}, (3, 3)),
        ({"positive_nodes_low": "2", "positive_nodes_high": "4"}, (2, 4)),
        ({"positive_nodes_low": "1", "positive_nodes_high": ""}, (1, math.inf)),
        ({"lymph_node_metastasis": "1"}, (1, math.inf)),
        ({"lymph_node_metastasis": "0"}, (0, 0)),
        ({"lymph_node_metastasis": "1", "positive_nodes_high": "2"}, (1, 2)),
        ({"lymph_node_metastasis": "1", "positive_nodes_low": "5", "positive_nodes_high": "5"}, (5, 5)),
    ],
)
def test_a_report_is_an_interval_of_the_count(row: dict[str, str], expected: tuple[float, float]) -> None:
    assert reported_count(patient(**row)) == expected


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({}, "has neither positive_nodes_low and positive_nodes_high nor lymph_node_metastasis"),
        ({"lymph_node_metastasis": "0", "positive_nodes_low": "2"}, "which contradict each other"),
        ({"positive_nodes_low": "4", "positive_nodes_high": "2"}, "which contradict each other"),
        ({"lymph_node_metastasis": "2"}, "which contradict each other"),
        ({"positive_nodes_low": "two"}, "expected a number"),
    ],
)
def test_a_report_that_cannot_be_is_refused(row: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        reported_count(patient(**row))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with one_process():
        fit(cohort, folder / "model", folder / "report", Settings(network=SMALL, training=QUICK, folds=2))
    return folder


def test_the_trained_model_predicts_its_own_kind_of_case(cohort: Cohort, trained: Path) -> None:
    model = load_model(trained / "model", ALGORITHM)
    case = cohort.patients[0].case
    check_outputs(predict(case, model), ALGORITHM, case)
    assert model.info.training_data.simulated
    assert model.info.training_data.patients == PATIENTS
    assert model.info.training_data.cohort_sha256 == cohort.sha256


def test_the_evidence_holds_every_patient_and_node_with_its_truth(cohort: Cohort, trained: Path) -> None:
    evidence = json.loads((trained / "report" / "evidence.json").read_text())
    assert [row["patient"] for row in evidence["patients"]] == [each.name for each in cohort.patients]
    with (cohort.path.with_name("node_truth.csv")).open() as file:
        truth = {(row["patient"], row["label"]): int(row["positive"]) for row in csv.DictReader(file)}
    for row, each in zip(evidence["patients"], cohort.patients, strict=True):
        low, high = reported_count(each)
        assert (row["low"], row["high"]) == (low, None if math.isinf(high) else high)
        for node in row["instances"]:
            assert node["truth"] == truth[row["patient"], node["name"]]
    assert evidence["oracle"]["patient_auc"] > 0.5


def test_the_report_shows_model_and_size_rule(trained: Path) -> None:
    page = (trained / "report" / "report.html").read_text()
    assert "size rule" in page
    assert "Simulated patients" in page
    assert not (trained / "report" / "work").exists()


def test_training_twice_gives_the_same_bytes(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    with threads_of_torch(3):
        fit(cohort, tmp_path / "model", tmp_path / "report", Settings(network=SMALL, training=QUICK, folds=2))
    for name in ("bags.safetensors", "lymph-nodes.json"):
        assert (tmp_path / "model" / name).read_bytes() == (trained / "model" / name).read_bytes()


@pytest.mark.slow
def test_another_head_and_radiomics_can_be_trained(cohort: Cohort, tmp_path: Path) -> None:
    settings = Settings(network=NetworkSettings(instances="radiomics", head="gated_attention"), training=QUICK, folds=2)
    fit(cohort, tmp_path / "model", tmp_path / "report", settings)
    model = load_model(tmp_path / "model", ALGORITHM)
    case = cohort.patients[1].case
    outputs = predict(case, model)
    check_outputs(outputs, ALGORITHM, case)
    assert all(np.isfinite(row["contribution"]) for row in outputs["lymph-node-table"])
    assert outputs["positive-lymph-nodes"]["probability_of_count"] is None


def test_measures_in_space_and_counts_by_field_can_be_learned_from(cohort: Cohort, tmp_path: Path) -> None:
    network = NetworkSettings(instances="measures", measures="spatial", fields="region")
    fit(cohort, tmp_path / "model", tmp_path / "report", Settings(network=network, training=QUICK, folds=2))
    model = load_model(tmp_path / "model", ALGORITHM)
    assert model.description.network == network
    case = cohort.patients[0].case
    check_outputs(predict(case, model), ALGORITHM, case)


def test_fields_of_a_report_become_parts_of_the_bag_and_its_removed_nodes_are_used(
    cohort: Cohort, tmp_path: Path
) -> None:
    prepared, _, _ = prepare(cohort, NetworkSettings(instances="measures", fields="region"), tmp_path)
    with cohort.path.with_name("fields.csv").open() as file:
        fields = list(csv.DictReader(file))
    for each in prepared:
        mine = [row for row in fields if row["patient"] == each.patient.name]
        assert each.bag.parts is not None
        if mine:
            assert len(each.bag.parts) > 2
            assert sum(part.low for part in each.bag.parts) <= each.bag.low
            assert {part.low for part in each.bag.parts} <= {int(row["positive"]) for row in mine}
        else:
            (part,) = each.bag.parts
            assert (part.low, part.high, len(part.rows)) == (each.bag.low, each.bag.high, each.bag.size)
            assert part.found == pytest.approx(0.97 * min(1, int(each.patient.row["removed_nodes"]) / each.bag.size))
    assert {len(each.bag.parts or ()) > 1 for each in prepared} == {True, False}


def test_fewer_removed_than_positive_nodes_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    first = next(each for each in cohort.patients if each.row["positive_nodes_high"] != each.row["positive_nodes_low"])
    wrong = replace(cohort, patients=(replace(first, row={**first.row, "removed_nodes": "0"}), *cohort.patients[-2:]))
    with pytest.raises(InvalidInputError, match="has 0 removed_nodes and at least"):
        prepare(wrong, NetworkSettings(instances="measures"), tmp_path)


def test_an_interrupted_preparation_goes_on(cohort: Cohort, tmp_path: Path) -> None:
    few = replace(cohort, patients=cohort.patients[:2])
    first, _, _ = prepare(few, SMALL, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("nodes.json")}
    again, _, _ = prepare(few, SMALL, tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("nodes.json")}
    assert [each.bag.size for each in first] == [each.bag.size for each in again]


def test_an_empty_segmentation_names_the_patient(cohort: Cohort, tmp_path: Path) -> None:
    from preop.imaging import read_image, write_image

    row = dict(cohort.patients[0].row)
    nodes = read_image(cohort.path.parent / row["lymph-node-segmentation"])
    write_image(nodes.with_voxels(nodes.voxels * 0), tmp_path / "empty.mha")
    paths = dict(cohort.patients[0].case.image_paths) | {"lymph-node-segmentation": tmp_path / "empty.mha"}
    broken = Patient("p1", "", Case(ALGORITHM, "p1", paths, {}), row)
    with pytest.raises(InvalidInputError, match="p1: The lymph-node-segmentation is empty"):
        prepare(Cohort(cohort.path, ALGORITHM, cohort.source, (broken,)), SMALL, tmp_path / "work")
