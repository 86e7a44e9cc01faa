"""A model folder: complete, or refused with one sentence."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import primary_growth_pattern.model
from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import read_algorithm
from preop.study import MODEL_FILE
from primary_growth_pattern.model import CARD_FILE, DESCRIPTION_FILE, load_model
from tests.algorithms.damaged import Place, not_refused, write
from tests.conftest import ROOT

FOLDER = ROOT / "algorithms" / "primary_growth_pattern"
ALGORITHM = read_algorithm(FOLDER)
NETWORKS_FILE = "networks/networks.json"


def is_optional(place: Place) -> bool:
    """Say what may be missing without anybody noticing: sentences of prose, and tissues that did not occur."""
    return (len(place) == 3 and place[1] in {"verdict", "cautions"}) or (len(place) == 2 and place[0] == "dice")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped model without encoder and ensemble, whose files preop.slides and preop.mil read and test."""
    monkeypatch.setattr(primary_growth_pattern.model, "read_encoder", lambda *_, **__: None)
    monkeypatch.setattr(primary_growth_pattern.model, "read_ensemble", lambda *_: None)
    copied = Path(shutil.copytree(FOLDER / "model", tmp_path / "model"))
    for large in ("encoder/weights.safetensors", "bags.safetensors"):
        write(copied, large, "not loaded")
    return copied


@pytest.mark.parametrize("file", [MODEL_FILE, DESCRIPTION_FILE, CARD_FILE, NETWORKS_FILE])
def test_a_model_with_any_one_entry_missing_or_of_another_type_is_refused_in_one_sentence(
    file: str, folder: Path
) -> None:
    load_model(folder, ALGORITHM)
    assert not not_refused(folder, file, lambda: load_model(folder, ALGORITHM), may_be_missing=is_optional)


def without_one_centre(content: Any) -> None:
    content["validation"]["details"]["centres"].pop("A")


def without_a_comparison(content: Any) -> None:
    content["validation"]["comparisons"].pop()


def with_unknown_weights(content: Any) -> None:
    content["files"].pop("encoder/weights.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_one_centre, "centres holds 86 patients; expected 120"),
        (without_a_comparison, "comparisons lacks combined beside tiles"),
        (with_unknown_weights, "files lacks the checksum of encoder/weights.safetensors"),
    ],
)
def test_figures_and_files_that_do_not_add_up_are_refused(
    folder: Path, change: Callable[[Any], object], sentence: str
) -> None:
    content = json.loads((folder / MODEL_FILE).read_text())
    change(content)
    write(folder, MODEL_FILE, content)
    with pytest.raises(InvalidModelError, match=re.escape(sentence)):
        load_model(folder, ALGORITHM)
