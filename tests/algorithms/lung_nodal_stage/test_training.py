"""Training on chests of which pathology knows the category, the sampled stations, or every node."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lung_nodal_stage import lesion_training, training
from lung_nodal_stage.assessment import CT, PET
from lung_nodal_stage.lesion_training import LesionNetwork, train_lesion_networks
from lung_nodal_stage.lesions import SEGMENTATION
from lung_nodal_stage.malignancy import features_of
from lung_nodal_stage.model import Description, Details
from lung_nodal_stage.training import Networks, Settings, examine, fit
from preop.anatomy import StationMap
from preop.cohort import Cohort, Patient, read_cohort
from preop.errors import InvalidInputError
from preop.grandchallenge.cases import Case
from preop.imaging import Image, write_image
from preop.segmentation import Organs, load_network
from preop.staging import N, Side, Station, nodal_stage
from preop.study import read_model_info
from tests.algorithms.lung_nodal_stage.chest import ALGORITHM, IN_RIGHT_LUNG, VALUES, Chest, HotVoxels, TrueOrgans

pytestmark = pytest.mark.slow

NETWORKS = Networks(ALGORITHM.folder / "model" / "organs", ALGORITHM.folder / "model" / "lesions")
SCANS = (CT, PET, SEGMENTATION)
SMALL = LesionNetwork(spacing_mm=8, patch=16, features=(4, 8, 8), convolutions=1, epochs=1, iterations=1)
NODES: tuple[dict[str, float], ...] = (
    {},
    {"4R": 9.0},
    {"10R": 8.0, "7": 3.2},
    {"4R": 7.0, "7": 9.0},
    {"4L": 8.0, "10R": 3.4},
    {"10R": 3.3},
    {"7": 3.1, "4R": 3.4},
    {"7": 10.0},
)
"""Uptake of the nodes of each patient; from 5 on they are malignant."""


@pytest.fixture(autouse=True)
def _true_networks(in_this_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that say the truth, and no processes, which would not know them."""
    monkeypatch.setattr(training, "_networks", lambda *_: (TrueOrgans(), HotVoxels()))


@pytest.fixture(scope="module")
def scans(
    anatomy: tuple[Image, StationMap], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """CT and PET of the patients, and the truth of all nodes."""
    folder, truth = tmp_path_factory.mktemp("scans"), []
    for number, nodes in enumerate(NODES):
        patient = Chest(Organs(anatomy[0], VALUES), anatomy[1])
        patient.add(IN_RIGHT_LUNG, radius_mm=9, suv=8)
        for station, suv in nodes.items():
            patient.add(station, radius_mm=4, suv=suv)
            x, y, z = patient.deepest(station)
            row = {"patient": f"p{number}", "kind": "node", "x_mm": x, "y_mm": y, "z_mm": z, "malignant": int(suv > 5)}
            truth.append(row)
        case = patient.case()
        for slug in SCANS:
            voxels = case.image(slug).voxels.copy()
            voxels[0, 0, 0] += number  # no two scans are alike
            write_image(case.image(slug).with_voxels(voxels), folder / f"p{number}" / f"{slug}.mha")
    return folder, truth


@pytest.fixture
def cohort(scans: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Cohort:
    """The patients with all that can be known of them."""
    folder, truth = scans
    rows = []
    for number, nodes in enumerate(NODES):
        involved = [station for station, suv in nodes.items() if suv > 5]
        stage = nodal_stage(map(Station.parse, involved), Side.RIGHT).category
        rows.append(
            {
                "patient": f"p{number}",
                **{slug: str(folder / f"p{number}" / f"{slug}.mha") for slug in SCANS},
                "n_stage": f"p{stage}",
                "clinical_n": "N1",
                "sampled_stations": "4R 7",
                "involved_stations": " ".join(involved),
            }
        )
    for file, content in (("cohort.csv", rows), ("lesion_truth.csv", truth)):
        with (tmp_path / file).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, content[0])
            writer.writeheader()
            writer.writerows(content)
    return read_cohort(tmp_path / "cohort.csv", ALGORITHM)


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    for name in ("organs", "lesions"):
        (tmp_path / "networks" / name).mkdir(parents=True)
        (tmp_path / "networks" / name / "weights").write_text(name)
    return tmp_path / "networks"


def test_a_trained_model_knows_uptake_and_says_how_well_it_stages(
    cohort: Cohort, networks: Path, tmp_path: Path
) -> None:
    settings = Settings(networks=networks, folds=2, penalty=0.3)
    validation = fit(cohort, tmp_path / "model", tmp_path / "report", settings)
    info = read_model_info(tmp_path / "model", ALGORITHM, Details)
    assert info.training_data.patients == len(NODES)
    assert info.training_data.events == 5
    description = Description.model_validate_json((tmp_path / "model" / "malignancy.json").read_bytes())
    model = description.malignancy
    faint, hot = ({term.name: term.quantiles[place] for term in model.terms} for place in (0, -1))
    assert model.probability(faint) < 0.5 < model.probability(hot)
    assert (tmp_path / "model" / "organs" / "weights").read_text() == "organs"
    assert set(validation.details["agreement"]) == {"the algorithm", "clinical staging (cN)", *training.RULES.values()}
    assert validation.models["the algorithm"].auc.value > 0.5
    evidence = json.loads((tmp_path / "report" / "evidence.json").read_text())
    assert [row["reference"] for row in evidence["patients"]] == ["N0", "N2a", "N1", "N2b", "N3", "N0", "N0", "N2a"]
    assert sum(node["malignant"] for node in evidence["nodes"]) == 6
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Agreement with pathology" in page
    assert not (tmp_path / "report" / "work").exists()


def test_the_truth_of_a_node_is_that_of_the_nearest_in_the_table(cohort: Cohort, tmp_path: Path) -> None:
    examined = examine(cohort, NETWORKS, Settings(), tmp_path / "work")
    for each, nodes in zip(examined, NODES, strict=True):
        found = {
            str(station): malignant for station, malignant in zip(each.nodes, each.example.truth.nodes, strict=True)
        }
        assert found == {station: suv > 5 for station, suv in nodes.items()}
        assert each.side is Side.RIGHT
        assert each.example.truth.stations[Station.parse("7")] == (nodes.get("7", 0) > 5)


def test_an_interrupted_examination_goes_on(cohort: Cohort, tmp_path: Path) -> None:
    examine(cohort, NETWORKS, Settings(), tmp_path / "work")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*/findings.json")}
    examine(cohort, NETWORKS, Settings(), tmp_path / "work")
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*/findings.json")}
    assert len(times) == len(NODES)


def test_without_a_table_of_nodes_their_truth_is_open(cohort: Cohort, tmp_path: Path) -> None:
    cohort.path.with_name("lesion_truth.csv").unlink()
    examined = examine(cohort, NETWORKS, Settings(), tmp_path / "work")
    assert {malignant for each in examined for malignant in each.example.truth.nodes} == {None}
    assert [each.reference for each in examined][:3] == [N.N0, N.N2A, N.N1]


def test_lesions_by_uptake_need_no_network(cohort: Cohort, tmp_path: Path) -> None:
    examined = examine(cohort, Networks(NETWORKS.organs, None), Settings(lesions="pet"), tmp_path / "work")
    assert [str(station) for station in examined[3].nodes] == ["7", "4R"]


def test_networks_of_lesions_are_trained_on_the_other_folds_and_go_on_after_a_stop(
    cohort: Cohort, tmp_path: Path
) -> None:
    three = dataclasses.replace(cohort, patients=cohort.patients[:3])
    folds = [[0, 2], [1]]
    train_lesion_networks(three, folds, SMALL, tmp_path / "networks", seed=0)
    assert load_network(tmp_path / "networks").channels == ("CT", "PET")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "networks").glob("fold_*/*")}
    train_lesion_networks(three, folds, SMALL, tmp_path / "networks", seed=0)
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "networks").glob("fold_*/*")}
    assert [path.parent.name for path in sorted(times)] == ["fold_0", "fold_1"]


def test_without_outlines_no_network_of_lesions_is_trained(cohort: Cohort, tmp_path: Path) -> None:
    bare = dataclasses.replace(
        cohort,
        patients=tuple(dataclasses.replace(each, case=Case(ALGORITHM, each.name, {}, {})) for each in cohort.patients),
    )
    with pytest.raises(InvalidInputError, match="8 of 8 patients have no lesion-segmentation"):
        train_lesion_networks(bare, [[0], [1]], SMALL, tmp_path, seed=0)


def test_the_lesions_of_a_patient_are_found_by_a_network_that_has_not_seen_the_patient(
    cohort: Cohort, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: dict[int, list[str]] = {}
    asked: list[int | None] = []

    def learn(cases: Mapping[str, Any], _: Any, output: Path, *, fold: int, **__: Any) -> None:
        learned[fold] = list(cases)
        output.mkdir(parents=True, exist_ok=True)
        (output / f"fold_{fold}").write_text("weights")

    def loaded(_: Path, lesions: Path | None, fold: int | None = None) -> tuple[TrueOrgans, HotVoxels]:
        assert lesions is not None
        assert lesions.parents[1] == tmp_path / "report" / "work"
        asked.append(fold)
        return TrueOrgans(), HotVoxels()

    monkeypatch.setattr(lesion_training, "train_network", learn)
    monkeypatch.setattr(training, "_networks", loaded)
    fit(cohort, tmp_path / "model", tmp_path / "report", Settings(networks=networks, folds=2, lesions="train"))
    by_patient = dict(zip((each.name for each in cohort.patients), asked, strict=False))
    assert sorted(learned) == [0, 1]
    for name, fold in by_patient.items():
        assert fold is not None
        assert name not in learned[fold]
        assert name in learned[1 - fold]
    assert asked[-1] is None  # the model holds all of them


def patient(**row: str) -> Patient:
    return Patient("p1", "", Case(ALGORITHM, "p1", {}, {}), row)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({}, "Patient p1 has no n_stage"),
        ({"n_stage": "NX"}, "from which nothing can be learned"),
        ({"n_stage": "stage II"}, "The nodal category is 'stage II'"),
        ({"n_stage": "N1", "sampled_stations": "99"}, "There is no lymph node station '99'"),
    ],
)
def test_a_reference_that_cannot_be_is_refused_before_the_long_work(
    row: dict[str, str], sentence: str, tmp_path
) -> None:
    cohort = Cohort(tmp_path / "cohort.csv", ALGORITHM, None, (patient(**row),))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=sentence):
        examine(cohort, NETWORKS, Settings(), tmp_path / "work")


def test_features_are_logarithms_of_what_a_reader_measures(chest: Chest) -> None:
    chest.add("4R", radius_mm=7, suv=6)
    (node,) = chest.staged(Side.RIGHT).nodes
    features = features_of(node)
    assert np.exp(features["log_suv_max"]) == pytest.approx(6)
    assert np.exp(features["log_blood_pool_ratio"]) == pytest.approx(4)
    assert np.exp(features["log_short_axis"]) == pytest.approx(node.short_axis_mm)
