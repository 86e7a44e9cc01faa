"""A model folder of the bladder study: complete and consistent, or refused with one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bladder_lymph_nodes.model import DESCRIPTION_FILE, load_model
from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import read_algorithm
from tests.algorithms.damaged_models import Place, entries, in_words, keys, of_another_type, rewrite, without
from tests.conftest import ROOT

FOLDER = ROOT / "algorithms" / "bladder_lymph_nodes"
ALGORITHM = read_algorithm(FOLDER)
HEAD_FILE = "bags.json"
CONTENT = {
    file: json.loads((FOLDER / "model" / file).read_text()) for file in ("model.json", DESCRIPTION_FILE, HEAD_FILE)
}
INFO, DESCRIPTION, HEAD = CONTENT.values()


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bladder") / "model"
    shutil.copytree(FOLDER / "model", folder)
    return folder


@pytest.fixture
def folder(shared_folder: Path) -> Iterator[Path]:
    """The shipped model, free to be spoilt."""
    yield shared_folder
    for file in CONTENT:
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


@pytest.mark.parametrize("place", keys(DESCRIPTION), ids=in_words)
def test_a_description_without_any_one_entry_is_refused(folder: Path, place: Place) -> None:
    assert f"{DESCRIPTION_FILE}, {in_words(place)}: " in refused(folder, DESCRIPTION_FILE, without(DESCRIPTION, place))


@pytest.mark.parametrize("place", entries(DESCRIPTION), ids=in_words)
def test_a_description_with_any_one_entry_of_another_type_is_refused(folder: Path, place: Place) -> None:
    sentence = refused(folder, DESCRIPTION_FILE, of_another_type(DESCRIPTION, place))
    assert f"{DESCRIPTION_FILE}, {in_words(place)}" in sentence


# There has been one format so far; it may be left out.
@pytest.mark.parametrize("place", [place for place in keys(HEAD) if place != ("format",)], ids=in_words)
def test_a_head_without_any_one_entry_is_refused(folder: Path, place: Place) -> None:
    refused(folder, HEAD_FILE, without(HEAD, place))


def changed(content: Any, change: Callable[[Any], object]) -> Any:
    copied = json.loads(json.dumps(content))
    change(copied)
    return copied


CONTRADICTIONS: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "no baseline": (
        "model.json",
        lambda info: info["validation"].update(comparisons=[]),
        "validation.comparisons: the model is compared with no baseline.",
    ),
    "decisions of other models": (
        "model.json",
        lambda info: info["validation"]["details"]["decisions"].pop("size rule"),
        "validation.details.instances.ranking and decisions do not name the same models.",
    ),
    "another head": (
        HEAD_FILE,
        lambda head: head.update(options={"found": 0.9, "leak": 0.05, "clustered": True}),
        "bags.json and lymph-nodes.json describe different heads.",
    ),
    "a likelihood beyond 1": (
        DESCRIPTION_FILE,
        lambda description: description.update(threshold=1.5),
        "lymph-nodes.json, threshold: Input should be less than or equal to 1.",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_model_that_contradicts_itself_is_refused_with_the_reason(folder: Path, name: str) -> None:
    file, change, sentence = CONTRADICTIONS[name]
    assert refused(folder, file, changed(CONTENT[file], change)).endswith(sentence)
