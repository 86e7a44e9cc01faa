"""A model folder of the bladder study: complete and consistent, or refused with one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bladder_lymph_nodes.model import DESCRIPTION_FILE, load_model
from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import read_algorithm
from preop.mil.ensembles import DESCRIPTION_FILE as HEAD_FILE
from preop.study import MODEL_FILE
from tests.conftest import ROOT
from tests.study.entries import not_refused, write_stored

FOLDER = ROOT / "algorithms" / "bladder_lymph_nodes"
ALGORITHM = read_algorithm(FOLDER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped model, free to be spoilt."""
    return Path(shutil.copytree(FOLDER / "model", tmp_path / "model"))


OPTIONAL = ("validation.verdict", "validation.cautions", "software")
"""What may be missing without anybody noticing: sentences of prose, and a package."""


@pytest.mark.parametrize("file", [MODEL_FILE, DESCRIPTION_FILE])
def test_a_model_with_any_one_entry_missing_or_of_another_type_is_refused_in_one_sentence(
    folder: Path, file: str
) -> None:
    load_model(folder, ALGORITHM)
    assert not not_refused(folder, file, lambda at: load_model(at, ALGORITHM), optional=OPTIONAL)


@pytest.mark.parametrize("option", ["found", "leak"])
def test_a_head_with_other_settings_than_described_is_refused(folder: Path, option: str) -> None:
    content = json.loads((folder / HEAD_FILE).read_text())
    content["options"][option] = 0.5
    write_stored(folder, HEAD_FILE, content)
    with pytest.raises(InvalidModelError, match=r"bags\.json and lymph-nodes\.json describe different heads\."):
        load_model(folder, ALGORITHM)


CONTRADICTIONS: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "no baseline": (
        MODEL_FILE,
        lambda info: info["validation"].update(comparisons=[]),
        "validation.comparisons: the model is compared with no baseline.",
    ),
    "decisions of other models": (
        MODEL_FILE,
        lambda info: info["validation"]["details"]["decisions"].pop("size rule"),
        "validation.details.instances.ranking and decisions do not name the same models.",
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
    content = json.loads((folder / file).read_text())
    change(content)
    write_stored(folder, file, content)
    with pytest.raises(InvalidModelError) as error:
        load_model(folder, ALGORITHM)
    assert str(error.value).endswith(sentence)
