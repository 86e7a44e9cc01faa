"""A model folder: complete, or refused with one sentence; networks of the same layout may take the place of others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import lung_nodal_stage.model
from lung_nodal_stage.likeness import SCAN
from lung_nodal_stage.model import DESCRIPTION_FILE, Details, digests, load_model
from preop.errors import InvalidModelError
from preop.folders import sha256
from preop.likeness import references_file
from preop.segmentation import write_organ_network
from preop.study import MODEL_FILE, register, write_model
from tests.algorithms.lung_nodal_stage.chest import ALGORITHM, FOLDER, model
from tests.segmentation.networks import dataset_of, make_network, plans_of, weights_of
from tests.study.entries import not_refused

CLASSES = ("aorta", "heart", "lung_upper_lobe_right")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with small networks of random weights."""
    made = model()
    files = {
        DESCRIPTION_FILE: made.description.model_dump_json().encode(),
        **references_file({SCAN: made.training_patients}),
    }
    write_model(tmp_path / "model", made.info.model_dump(exclude={"files"}), files, Details)
    plans = plans_of(spacing=(3, 3, 3))
    write_organ_network(tmp_path / "model" / "organs", plans, weights_of(plans, 1, 1 + len(CLASSES), seed=1), CLASSES)
    both = plans_of(spacing=(4, 4, 4), schemes=("CTNormalization", "CTNormalization"))
    make_network(tmp_path / "model" / "lesions", both, dataset_of(["lesion"], ["CT", "PET"]))
    register(tmp_path / "model", ALGORITHM)
    return tmp_path / "model"


def test_a_complete_model_is_loaded(folder: Path) -> None:
    loaded = load_model(folder, ALGORITHM)
    assert loaded.lesions is not None
    assert loaded.lesions.channels == ("CT", "PET")


def test_other_networks_take_the_place_of_the_shipped_ones_and_are_told_apart(folder: Path) -> None:
    before = load_model(folder, ALGORITHM)
    plans = plans_of(spacing=(3, 3, 3))
    shutil.rmtree(folder / "organs")
    write_organ_network(folder / "organs", plans, weights_of(plans, 1, 1 + len(CLASSES), seed=2), CLASSES)
    with pytest.raises(InvalidModelError, match="is not the file that was written"):
        load_model(folder, ALGORITHM)
    register(folder, ALGORITHM)
    after = load_model(folder, ALGORITHM)
    one, other = (digests(each.organs, each.lesions) for each in (before, after))
    assert one["organs"] != other["organs"]
    assert one["lesions"] == other["lesions"]


OPTIONAL = ("software", "validation.verdict", "validation.cautions")
"""There may be fewer of them: packages that took part, and sentences."""


@pytest.mark.slow
@pytest.mark.parametrize("file", [MODEL_FILE, DESCRIPTION_FILE])
def test_a_model_with_any_one_entry_missing_or_of_another_type_is_refused_in_one_sentence(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("load_organ_networks", "load_network"):
        monkeypatch.setattr(lung_nodal_stage.model, name, lambda *_: None)
    folder = shutil.copytree(FOLDER / "model", tmp_path / "model")
    assert not_refused(folder, file, lambda folder: load_model(folder, ALGORITHM), optional=OPTIONAL) == []


def edited(folder: Path, change: Callable[[dict], object]) -> None:
    """Change the description, and its checksum with it."""
    path = folder / DESCRIPTION_FILE
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    info = json.loads((folder / MODEL_FILE).read_text())
    info["files"][path.name] = sha256(path)
    (folder / MODEL_FILE).write_text(json.dumps(info))


BAD_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no organ weights": (
        lambda folder: shutil.rmtree(folder / "organs"),
        "is incomplete: organs/.* is missing",
    ),
    "no lesion network": (lambda folder: shutil.rmtree(folder / "lesions"), "is incomplete: lesions/.* is missing"),
    "no lesion weights": (
        lambda folder: shutil.rmtree(folder / "lesions" / "fold_0"),
        "is incomplete: lesions/fold_0/.* is missing",
    ),
    "no probabilities": (lambda folder: (folder / "malignancy.json").unlink(), "malignancy.json is missing"),
    "changed probabilities": (
        lambda folder: (folder / "malignancy.json").write_text("{}"),
        "malignancy.json is not the file that was written",
    ),
    "a wrong description": (lambda folder: edited(folder, lambda content: content.pop("slice_mm")), "slice_mm"),
    "a wrong model": (
        lambda folder: edited(folder, lambda content: content["malignancy"].pop("terms")),
        "malignancy.json, malignancy.terms: Field required",
    ),
    "no model": (lambda folder: (folder / "model.json").unlink(), "There is no model in"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_model_that_is_not_whole_is_refused_with_the_reason(folder: Path, name: str) -> None:
    spoil, sentence = BAD_MODELS[name]
    spoil(folder)
    with pytest.raises(InvalidModelError, match=sentence):
        load_model(folder, ALGORITHM)
