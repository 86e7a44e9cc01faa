"""A model folder of the sarcoma study: complete and consistent, or refused with one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import read_algorithm
from sarcoma_lung_metastasis.model import WEIGHTS_FILE, load_model
from tests.algorithms.damaged_models import Place, entries, in_words, keys, of_another_type, rewrite, without
from tests.conftest import ROOT

FOLDER = ROOT / "algorithms" / "sarcoma_lung_metastasis"
ALGORITHM = read_algorithm(FOLDER)
INFO = json.loads((FOLDER / "model" / "model.json").read_text())
WEIGHTS = json.loads((FOLDER / "model" / WEIGHTS_FILE).read_text())


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sarcoma") / "model"
    shutil.copytree(FOLDER / "model", folder)
    return folder


@pytest.fixture
def folder(shared_folder: Path) -> Iterator[Path]:
    """The shipped model, free to be spoilt."""
    yield shared_folder
    for file in ("model.json", WEIGHTS_FILE):
        shutil.copy(FOLDER / "model" / file, shared_folder / file)


def refused(folder: Path, file: str, content: Any) -> str:
    rewrite(folder, file, content)
    with pytest.raises(InvalidModelError) as error:
        load_model(folder, ALGORITHM)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


# Which packages took part in a training differs from version to version: one fewer is no damage.
OPTIONAL = {("software", package) for package in INFO["software"]}


@pytest.mark.parametrize("place", [place for place in keys(INFO) if place not in OPTIONAL], ids=in_words)
def test_a_model_json_without_any_one_entry_is_refused(folder: Path, place: Place) -> None:
    assert refused(folder, "model.json", without(INFO, place)).startswith("The model in ")


@pytest.mark.parametrize("place", entries(INFO), ids=in_words)
def test_a_model_json_with_any_one_entry_of_another_type_is_refused(folder: Path, place: Place) -> None:
    assert f"The model in {folder} is damaged: " in refused(folder, "model.json", of_another_type(INFO, place))


@pytest.mark.parametrize("place", keys(WEIGHTS), ids=in_words)
def test_weights_without_any_one_entry_are_refused(folder: Path, place: Place) -> None:
    assert str(place[0]) in refused(folder, WEIGHTS_FILE, without(WEIGHTS, place))


@pytest.mark.parametrize("place", entries(WEIGHTS), ids=in_words)
def test_weights_with_any_one_entry_of_another_type_are_refused(folder: Path, place: Place) -> None:
    assert f"weights.json, {place[0]}" in refused(folder, WEIGHTS_FILE, of_another_type(WEIGHTS, place))


def changed(content: Any, change: Callable[[Any], object]) -> Any:
    copied = json.loads(json.dumps(content))
    change(copied)
    return copied


CONTRADICTIONS: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "no baseline": (
        "model.json",
        lambda info: info["validation"].update(comparisons=[]),
        "validation.comparisons: the models are compared with no baseline.",
    ),
    "a comparison is missing": (
        "model.json",
        lambda info: info["validation"]["comparisons"].pop(3),
        "comparisons lacks CT beside PET volume.",
    ),
    "a combination of inputs that does not exist": (
        WEIGHTS_FILE,
        lambda weights: weights.update({"MR": weights["CT"]}),
        "weights.json holds a model on MR, a combination of inputs that is not accepted.",
    ),
    "a quantile is missing": (
        WEIGHTS_FILE,
        lambda weights: weights["PET"]["terms"][0]["quantiles"].pop(),
        "PET: expected 21 rising quantiles of each feature and of the prediction.",
    ),
    "quantiles that fall": (
        WEIGHTS_FILE,
        lambda weights: weights["PET"]["out_of_fold_quantiles"].reverse(),
        "PET: expected 21 rising quantiles of each feature and of the prediction.",
    ),
    "a feature that does not vary": (
        WEIGHTS_FILE,
        lambda weights: weights["CT"]["terms"][0].update(standard_deviation=0.0),
        "CT: ct_dzm_sdlge_3D has a standard deviation of 0; expected more than 0.",
    ),
    "a number that is none": (
        WEIGHTS_FILE,
        lambda weights: weights["CT"].update(intercept=float("nan")),
        "CT: the intercept is not finite.",
    ),
    "a threshold beyond any likelihood": (
        WEIGHTS_FILE,
        lambda weights: weights["CT"].update(threshold=1.5),
        "CT: the threshold is 1.5; expected 0 to 1.",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_model_that_contradicts_itself_is_refused_with_the_reason(folder: Path, name: str) -> None:
    file, change, sentence = CONTRADICTIONS[name]
    content = INFO if file == "model.json" else WEIGHTS
    assert refused(folder, file, changed(content, change)).endswith(sentence)


def test_a_model_that_was_trained_on_some_combinations_of_inputs_only_is_loaded(folder: Path) -> None:
    rewrite(folder, WEIGHTS_FILE, {"CT": WEIGHTS["CT"]})
    info = json.loads((folder / "model.json").read_text())
    models = info["validation"]["models"]
    for name in [name for name, figures in models.items() if not figures["baseline"] and name != "CT"]:
        del models[name]
    info["validation"]["comparisons"] = [each for each in info["validation"]["comparisons"] if each["model"] == "CT"]
    rewrite(folder, "model.json", info)
    assert set(load_model(folder, ALGORITHM).by_interface) == {"CT"}
