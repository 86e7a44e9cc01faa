"""A model folder of the sarcoma study: complete and consistent, or refused with one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import read_algorithm
from preop.study import MODEL_FILE
from sarcoma_lung_metastasis.model import WEIGHTS_FILE, load_model
from tests.conftest import ROOT
from tests.study.entries import not_refused, write_stored

FOLDER = ROOT / "algorithms" / "sarcoma_lung_metastasis"
ALGORITHM = read_algorithm(FOLDER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped model, free to be spoilt."""
    return Path(shutil.copytree(FOLDER / "model", tmp_path / "model"))


@pytest.fixture
def small(folder: Path) -> Path:
    """What is left of the shipped model if no training patient had anything but CT: one model, on its first feature."""
    logistic = json.loads((folder / WEIGHTS_FILE).read_text())["CT"]
    write_stored(folder, WEIGHTS_FILE, {"CT": logistic | {"terms": logistic["terms"][:1]}})
    info = json.loads((folder / MODEL_FILE).read_text())
    validation = info["validation"]
    validation["models"] = {
        name: figures for name, figures in validation["models"].items() if figures["baseline"] or name == "CT"
    }
    validation["comparisons"] = [each for each in validation["comparisons"] if each["model"] == "CT"]
    write_stored(folder, MODEL_FILE, info)
    return folder


OPTIONAL = ("validation.verdict", "validation.cautions", "software", "*.terms")
"""What may be missing without anybody noticing: sentences of prose, a package, and a feature of a model."""


def test_a_model_that_was_trained_on_some_combinations_of_inputs_only_is_loaded(small: Path) -> None:
    assert set(load_model(small, ALGORITHM).by_interface) == {"CT"}


@pytest.mark.parametrize("file", [MODEL_FILE, WEIGHTS_FILE])
def test_a_model_with_any_one_entry_missing_or_of_another_type_is_refused_in_one_sentence(
    small: Path, file: str
) -> None:
    assert not not_refused(small, file, lambda at: load_model(at, ALGORITHM), optional=OPTIONAL)


CONTRADICTIONS: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "no baseline": (
        MODEL_FILE,
        lambda info: info["validation"].update(comparisons=[]),
        "validation.comparisons: the models are compared with no baseline.",
    ),
    "a comparison is missing": (
        MODEL_FILE,
        lambda info: info["validation"]["comparisons"].pop(3),
        "comparisons lacks CT beside PET volume by auc.",
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
        "weights.json is not valid JSON (NaN is not a JSON number).",
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
    content = json.loads((folder / file).read_text())
    change(content)
    write_stored(folder, file, content)
    with pytest.raises(InvalidModelError) as error:
        load_model(folder, ALGORITHM)
    assert str(error.value).endswith(sentence)
