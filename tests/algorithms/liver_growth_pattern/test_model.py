"""A model folder with any entry taken out or of another type is refused when it is loaded, not in the middle of a case."""

import shutil
from pathlib import Path

import pytest

from liver_growth_pattern.model import DESCRIPTION_FILE, load_model
from preop.study import MODEL_FILE
from tests.conftest import ROOT
from tests.study.entries import not_refused

from .conftest import ALGORITHM

SENTENCES_AND_GROUPS = (
    "software",
    "validation.verdict",
    "validation.details.subgroups",
    "validation.details.subgroups.*",
)
"""There may be fewer of them: packages, sentences, and the groups that a cohort happens to have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = tmp_path_factory.mktemp("liver") / "model"
    shutil.copytree(ROOT / "algorithms" / "liver_growth_pattern" / "model", copied)
    return copied


@pytest.mark.parametrize("file", [MODEL_FILE, DESCRIPTION_FILE])
def test_every_entry_is_checked_when_a_model_is_loaded(folder: Path, file: str) -> None:
    assert not_refused(folder, file, lambda place: load_model(place, ALGORITHM), optional=SENTENCES_AND_GROUPS) == []
