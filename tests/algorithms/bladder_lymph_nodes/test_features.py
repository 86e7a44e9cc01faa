"""Models on stored features of another encoder: the example of the page, and what is refused."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from bladder_lymph_nodes.inference import load_model, predict
from bladder_lymph_nodes.settings import NetworkSettings
from bladder_lymph_nodes.simulation import simulate
from bladder_lymph_nodes.training import Settings, fit
from preop.cohort import Cohort, read_cohort
from preop.errors import InvalidInputError, PreopError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.handing_over import hand_over, read_input
from preop.grandchallenge.outputs import check_outputs
from preop.mil import Settings as MilSettings
from tests.conftest import ROOT, one_process

ALGORITHM = read_algorithm(ROOT / "algorithms" / "bladder_lymph_nodes")
PATIENTS, FEATURES = 8, "lymph-node-features"
NAME = "MONAI resnet18, random weights"
SETTINGS = Settings(
    network=NetworkSettings(instances="features"),
    training=MilSettings(epochs=1, folds=2, instances_per_batch=256),
    folds=2,
)
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_this_process")]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A simulated cohort whose nodes the code of the page has encoded, as it stands there."""
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# encode_nodes\.py\n(.*?)```", page, flags=re.DOTALL)
    folder = tmp_path_factory.mktemp("features")
    with one_process(), pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        simulate(PATIENTS, 25, Path("cohort"), small=True)  # four of them are pN+
        Path("encode_nodes.py").write_text(code)
        runpy.run_path("encode_nodes.py")
    return read_cohort(folder / "cohort" / "cohort.csv", ALGORITHM)


@pytest.fixture(scope="module")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with one_process():
        fit(cohort, folder / "model", folder / "report", SETTINGS)
    return folder / "model"


def with_file(case: Case, folder: Path, *, labels: np.ndarray, features: np.ndarray, encoder: str = NAME) -> Case:
    path = folder / "other.safetensors"
    save_file({"labels": labels, "features": features}, path, metadata={"encoder": encoder})
    return replace(case, feature_files={FEATURES: path}, _images={})


def stored(case: Case) -> tuple[np.ndarray, np.ndarray]:
    with safe_open(case.feature_files[FEATURES], framework="numpy") as file:
        return file.get_tensor("labels"), file.get_tensor("features")


def test_a_model_of_features_predicts_and_features_matter(cohort: Cohort, model: Path, tmp_path: Path) -> None:
    loaded = load_model(model, ALGORITHM)
    assert loaded.encoder is not None
    assert (loaded.encoder.name, loaded.encoder.features) == (NAME, 512)
    case = cohort.patients[0].case
    outputs = predict(case, loaded)
    check_outputs(outputs, ALGORITHM, case)
    assert not [warning for warning in outputs["positive-lymph-nodes"]["warnings"] if FEATURES in warning]
    labels, features = stored(case)
    other = predict(with_file(case, tmp_path, labels=labels, features=-features), loaded)
    assert other["lymph-node-metastasis-likelihood"] != outputs["lymph-node-metastasis-likelihood"]
    turned = predict(with_file(case, tmp_path, labels=labels[::-1].copy(), features=features[::-1].copy()), loaded)
    assert turned["lymph-node-table"] == outputs["lymph-node-table"]


def test_the_program_is_handed_the_same_features(cohort: Cohort, model: Path, tmp_path: Path) -> None:
    loaded, case = load_model(model, ALGORITHM), cohort.patients[1].case
    hand_over(case, tmp_path)
    again = read_input(ALGORITHM, tmp_path)
    assert predict(again, loaded)["lymph-node-table"] == predict(case, loaded)["lymph-node-table"]


def test_the_default_model_says_that_it_does_not_take_them(cohort: Cohort) -> None:
    default, case = load_model(ALGORITHM.folder / "model", ALGORITHM), cohort.patients[0].case
    explained = predict(case, default)["positive-lymph-nodes"]
    assert f"{FEATURES} was given and has no effect: the model was trained without it." in explained["warnings"]
    without = predict(replace(case, feature_files={}), default)["positive-lymph-nodes"]
    assert explained["likelihood"] == without["likelihood"]
    assert not [warning for warning in without["warnings"] if FEATURES in warning]


def test_other_features_than_those_of_the_model_and_mask_are_refused(
    cohort: Cohort, model: Path, tmp_path: Path
) -> None:
    loaded, case = load_model(model, ALGORITHM), cohort.patients[0].case
    labels, features = stored(case)
    wrong = {
        "the first without features is": (labels[1:], features[1:], NAME),
        "the first that is not in the segmentation is 999": (
            np.append(labels, 999),
            np.vstack([features, features[:1]]),
            NAME,
        ),
        "holds 511 features of the encoder": (labels, features[:, 1:].copy(), NAME),
        "of the encoder other for each lymph node; the model takes 512 features of the encoder MONAI": (
            labels,
            features,
            "other",
        ),
        "holds 1 numbers that are not finite": (
            labels,
            np.where(np.arange(features.size).reshape(features.shape) == 3, np.nan, features).astype(np.float32),
            NAME,
        ),
    }
    for sentence, (of_labels, of_features, encoder) in wrong.items():
        with pytest.raises(InvalidInputError, match=sentence):
            predict(with_file(case, tmp_path, labels=of_labels, features=of_features, encoder=encoder), loaded)
    with pytest.raises(InvalidInputError, match="and none were given: provide lymph-node-features"):
        predict(replace(case, feature_files={}), loaded)
    mask = case.image("lymph-node-segmentation")
    one = replace(case, _images={"lymph-node-segmentation": mask.with_voxels((mask.voxels > 0).astype(np.uint8))})
    with pytest.raises(InvalidInputError, match="give each node a label of its own"):
        predict(one, loaded)


def test_a_model_whose_encoder_is_not_told_is_refused(model: Path) -> None:
    path = model / "node-encoder.json"
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(PreopError, match=r"node-encoder\.json"):
            load_model(model, ALGORITHM)
    finally:
        path.write_bytes(content)


def test_training_refuses_patients_without_features_or_of_another_encoder(cohort: Cohort, tmp_path: Path) -> None:
    first, *others = cohort.patients
    without = replace(first, case=replace(first.case, feature_files={}))
    with pytest.raises(InvalidInputError, match="There is no lymph-node-features of this patient"):
        fit(replace(cohort, patients=(without, *others)), tmp_path / "a", tmp_path / "b", SETTINGS)
    labels, features = stored(first.case)
    strange = with_file(first.case, tmp_path, labels=labels, features=features, encoder="other")
    with pytest.raises(InvalidInputError, match=r"512 features of the encoder other, that of .* expected those of one"):
        fit(replace(cohort, patients=(replace(first, case=strange), *others)), tmp_path / "c", tmp_path / "d", SETTINGS)


@pytest.mark.parametrize(
    ("cell", "sentence"), [("../outside.npz", "leads out of the folder"), ("none.npz", "there is no file")]
)
def test_a_file_outside_the_folder_of_the_table_or_missing_is_refused(
    cohort: Cohort, tmp_path: Path, cell: str, sentence: str
) -> None:
    (tmp_path / "outside.npz").touch()
    paths = cohort.patients[0].case.image_paths
    table = tmp_path / "cohort" / "cohort.csv"
    table.parent.mkdir()
    table.write_text(f"patient,{','.join(paths)},{FEATURES}\np,{','.join(map(str, paths.values()))},{cell}\n")
    with pytest.raises(InvalidInputError, match=sentence):
        read_cohort(table, ALGORITHM)
