"""A validation leaves a record without patient data, which is verified by running it again."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from preop.cli import repository
from preop.cli.validating import Asked, DifferentFiguresError, validate, verify
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image, write_image
from tests.cohort.test_validation import TASK

pytestmark = pytest.mark.slow

GRID = Geometry.axis_aligned((6, 7, 8), (3.0, 1.0, 1.0))
PATIENTS = {"Mueller_Hans_19510423": "1951-04-23", "Okafor_Zoe_MRN0048213": "1967-11-02", "Lind^Ida": "1988-02-29"}
"""Names as a careless export has them, with dates of birth in a column of their own."""


@pytest.fixture
def asked(toy: Algorithm, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A cohort of three named patients, whose scores are the means of their scans."""
    monkeypatch.setattr("preop.cohort.serving.cores", lambda: 1)
    monkeypatch.setattr("preop.cohort.running.cores", lambda: 1)
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.toml").write_text(TASK)
    monkeypatch.setattr(repository, "ground_truth_folder", lambda _: tmp_path / "task")
    rows = ["patient,centre,birth_date,scan,outcome"]
    for number, (name, born) in enumerate(PATIENTS.items()):
        voxels = np.random.default_rng(number).uniform(0, 1, GRID.shape).astype(np.float32)
        write_image(Image(voxels, GRID), tmp_path / f"{name}.mha")
        rows.append(f"{name},Ward 7,{born},{name}.mha,{number % 2}")
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    return Asked(toy, tmp_path / "cohort.csv", tmp_path / "validation", toy_model, engine="process")


@pytest.fixture
def validated(asked: Asked) -> Path:
    validate(asked)
    return asked.output / "record.json"


def test_a_record_is_verified_and_tells_what_is_not_as_it_was(
    validated: Path, asked: Asked, toy_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify(validated, {"algorithm": asked.algorithm, "engine": "process"})
    out = capsys.readouterr().out
    assert re.search(r"All \d+ figures are those of the record\.", out)
    assert "The predictions of 3 patients are the same to the last digit." in out

    with pytest.raises(InvalidOutputError, match="whose predictions would be taken for those of now"):
        verify(validated, {"algorithm": asked.algorithm, "engine": "process", "output": asked.output})

    said = json.loads(validated.read_text())
    forged = validated.with_name("forged.json")
    forged.write_text(json.dumps({**said, "figures": {**said["figures"], "auc.value": 0.99}}))
    with pytest.raises(DifferentFiguresError, match=r"^1 of \d+ figures are not those of the record: auc\.value\.$"):
        verify(forged, {"algorithm": asked.algorithm, "engine": "process"})

    scan = asked.cohort.with_name("Lind^Ida.mha")
    write_image(Image(np.zeros(GRID.shape, np.float32), GRID), scan)
    with pytest.raises(InvalidInputError, match=r"The patients of cohort\.csv are not those of the record"):
        verify(validated, {"algorithm": asked.algorithm, "engine": "process"})
    moved = shutil.move(validated, validated.parent.parent / "record.json")
    with pytest.raises(InvalidInputError, match="names no path: name the table of its 3 patients by --cohort"):
        verify(Path(moved), {"algorithm": asked.algorithm, "engine": "process"})


def test_what_is_handed_on_holds_nothing_of_a_patient(validated: Path, asked: Asked, tmp_path: Path) -> None:
    """The record and the model: no name or part of one, no date, identifier, centre, path, voxel, prediction or checksum
    of a patient's own file."""
    from preop.cohort import read_cohort, training_images_file
    from preop.cohort.copies import voxel_digest
    from preop.folders import sha256
    from preop.study import put_into_model

    cohort = read_cohort(asked.cohort, asked.algorithm)
    shared = asked.model or tmp_path
    put_into_model(shared, asked.algorithm, training_images_file(cohort, tmp_path))
    handed_on = [validated, *(path for path in shared.rglob("*") if path.is_file())]
    assert {path.name for path in handed_on} == {"record.json", "model.json", "weights.json", "training-images.json"}
    forbidden = {"Mueller", "Hans", "Okafor", "Zoe", "Lind", "MRN0048213", "Ward 7", str(tmp_path), "simulated_"}
    for born in map(dt.date.fromisoformat, PATIENTS.values()):
        forbidden |= {born.isoformat(), born.strftime("%Y%m%d"), born.strftime("%d.%m.%Y"), born.strftime("%m/%d/%Y")}
    for patient in cohort.patients:
        path = patient.case.image_paths["scan"]
        forbidden |= {sha256(path), voxel_digest(path)}
        folder = next(asked.output.glob(f"predictions/*{patient.name[:4]}*"))
        forbidden.add((folder / "output" / "score.json").read_text().strip())
    voxels = np.random.default_rng(0).uniform(0, 1, GRID.shape).astype(np.float32)
    for path in handed_on:
        content = path.read_bytes()
        assert not [word for word in forbidden if word.encode() in content], path.name
        assert voxels.tobytes()[:16] not in content
        assert repr(float(voxels[0, 0, 0]))[:8].encode() not in content


def test_training_patients_are_told_first(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from preop.cohort import read_cohort, training_images_file
    from preop.study import put_into_model

    assert asked.model is not None
    cohort = read_cohort(asked.cohort, asked.algorithm)
    put_into_model(asked.model, asked.algorithm, training_images_file(cohort, tmp_path))
    _, record = validate(asked)
    sentence = "All 3 patients are ones the model was trained on: these are figures on training patients"
    assert record.cohort.training_patients == 3
    assert sentence in capsys.readouterr().out
    page = (asked.output / "results.html").read_text()
    lead = page[page.index('class="lead"') :]
    assert lead.removeprefix('class="lead">').startswith(sentence)
    assert "Results on training patients" in page


def test_a_finished_verification_is_not_taken_for_a_new_one(validated: Path, asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    shutil.copy(validated, tmp_path / "again")
    with pytest.raises(InvalidOutputError, match=r"holds a validation that is finished, .* name a new folder"):
        verify(validated, {"algorithm": asked.algorithm, "output": tmp_path / "again"})
