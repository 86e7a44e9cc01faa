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
import primary_growth_pattern.tissue
from preop.errors import InvalidModelError
from preop.folders import sha256
from preop.grandchallenge.algorithm import read_algorithm
from preop.study import MODEL_FILE
from primary_growth_pattern.model import CARD_FILE, DESCRIPTION_FILE, load_model
from tests.conftest import ROOT
from tests.study.entries import not_refused

FOLDER = ROOT / "algorithms" / "primary_growth_pattern"
ALGORITHM = read_algorithm(FOLDER)
NETWORKS_FILE = "networks/networks.json"


OPTIONAL = ("software", "validation.verdict", "validation.cautions", "dice", "agreement", "real_tissue")
"""There may be fewer of them: packages that took part, sentences, tissues that did not occur in training, and figures on slides
of known truth or on real tissue, without which more is not assessed."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped model without encoder and ensemble, whose files preop.slides and preop.mil read and test."""
    monkeypatch.setattr(primary_growth_pattern.model, "load_encoder", lambda *_, **__: None)
    monkeypatch.setattr(primary_growth_pattern.model, "load_ensemble", lambda *_: None)
    copied = Path(shutil.copytree(FOLDER / "model", tmp_path / "model"))
    info = json.loads((copied / MODEL_FILE).read_text())
    for large in ("encoder/weights.safetensors", "bags.safetensors"):
        (copied / large).write_text("not loaded")
        info["files"][large] = sha256(copied / large)
    (copied / MODEL_FILE).write_text(json.dumps(info))
    return copied


@pytest.mark.slow
@pytest.mark.parametrize("file", [MODEL_FILE, DESCRIPTION_FILE, CARD_FILE, NETWORKS_FILE])
def test_a_model_with_any_one_entry_missing_or_of_another_type_is_refused_in_one_sentence(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The portable form of the tissue networks does not need to be told their size, which the weights are held against.
    monkeypatch.setattr(primary_growth_pattern.tissue, "runs_portable", lambda: False)
    assert not_refused(folder, file, lambda damaged: load_model(damaged, ALGORITHM), optional=OPTIONAL) == []


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
        (with_unknown_weights, "holds encoder/weights.safetensors, which model.json does not list"),
    ],
)
def test_figures_and_files_that_do_not_add_up_are_refused(
    folder: Path, change: Callable[[Any], object], sentence: str
) -> None:
    content = json.loads((folder / MODEL_FILE).read_text())
    change(content)
    (folder / MODEL_FILE).write_text(json.dumps(content))
    with pytest.raises(InvalidModelError, match=re.escape(sentence)):
        load_model(folder, ALGORITHM)
