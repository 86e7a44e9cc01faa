"""What runs a command is found before any work is done."""

from pathlib import Path

import pytest

from preop.cli import commands
from preop.engines.base import Engine
from preop.engines.choosing import find_engine
from preop.engines.programs import Program
from preop.errors import MissingToolError


def test_a_missing_image_of_the_evaluation_is_told_before_the_first_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine_for(program: Program, _: str) -> Engine:
        if program.name == "evaluation":
            raise MissingToolError("build it")
        return find_engine("process")

    monkeypatch.setattr("preop.cli.programs.engine_for", engine_for)
    monkeypatch.setattr("preop.cohort.read_cohort", lambda *_: None)
    monkeypatch.setattr("preop.cohort.predict_cohort", lambda *_, **__: pytest.fail("a patient was predicted"))
    with pytest.raises(MissingToolError, match="build it"):
        commands.validate("sarcoma_lung_metastasis", tmp_path / "cohort.csv", tmp_path / "validation")
