"""Training patients are found in another cohort by what their images hold, and a model gives none of them away."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preop.cohort import Cohort, read_cohort
from preop.cohort.overlap import TRAINING_IMAGES_FILE, Overlap, find_overlap, training_images_file
from preop.errors import InvalidModelError
from preop.folders import Contents
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image, read_image, write_image
from preop.study import put_into_model, read_model_info

GRID = Geometry.axis_aligned((2, 3, 4), (3.0, 1.0, 1.0))
Write = Callable[..., Cohort]


def here(function, items, *, description):
    """In place of processes: the images are tiny."""
    for item in items:
        yield item, function(item)


@pytest.fixture
def write(toy: Algorithm, tmp_path: Path) -> Write:
    """Function that writes and reads a cohort of named patients with given scans."""

    def make(table: str, **scans: Path) -> Cohort:
        rows = [f"{name},{path.name},1" for name, path in scans.items()]
        (tmp_path / table).write_text("\n".join(["patient,scan,outcome", *rows]))
        return read_cohort(tmp_path / table, toy)

    return make


def scan(path: Path, seed: int) -> Path:
    write_image(Image(np.random.default_rng(seed).normal(size=GRID.shape).astype(np.float32), GRID), path)
    return path


def images_file(cohort: Cohort) -> dict[str, bytes]:
    return training_images_file(cohort, Contents(), mapped=here)


def trained_on(cohort: Cohort, model: Path) -> None:
    put_into_model(model, cohort.algorithm, images_file(cohort))


def found(cohort: Cohort, model: Path) -> Overlap:
    info = read_model_info(model, cohort.algorithm, None)
    return find_overlap(cohort, model, info, Contents(), mapped=here)


def test_training_patients_are_found_under_other_names_and_in_other_files(
    write: Write, toy_model: Path, tmp_path: Path
) -> None:
    trained_on(write("training.csv", ann=scan(tmp_path / "a.mha", 1), ben=scan(tmp_path / "b.mha", 2)), toy_model)
    copy = tmp_path / "copy.nii.gz"
    write_image(read_image(tmp_path / "b.mha"), copy)
    overlap = found(write("cohort.csv", p1=scan(tmp_path / "c.mha", 3), p2=copy), toy_model)
    assert overlap == Overlap(("p2",), 2, stated=True)
    assert overlap.sentence.startswith("1 of 2 patients is one the model was trained on: these are figures partly on")
    assert "training patients" in found(write("again.csv", x=tmp_path / "a.mha"), toy_model).sentence
    none = found(write("other.csv", p1=tmp_path / "c.mha"), toy_model)
    assert (none.patients, none.sentence) == ((), "")


def test_a_model_that_does_not_say_what_it_has_learned_from_says_so(
    write: Write, toy_model: Path, tmp_path: Path
) -> None:
    cohort = write("cohort.csv", p1=scan(tmp_path / "a.mha", 1))
    overlap = found(cohort, toy_model)
    assert not overlap.stated
    assert "cannot be told: it holds no training-images.json" in overlap.remark
    path = toy_model / "model.json"
    info = json.loads(path.read_text())
    info["training_data"]["cohort_sha256"] = cohort.sha256
    path.write_text(json.dumps(info))
    assert found(cohort, toy_model).sentence.startswith("All 1 patients are ones the model was trained on")


def test_a_model_gives_nothing_of_its_training_patients_away(write: Write, toy_model: Path, tmp_path: Path) -> None:
    """No name, no place in the table, and no checksum that could be compared with that of an image or another model."""
    cohort = write("training.csv", Mueller=scan(tmp_path / "a.mha", 1), Zoe=scan(tmp_path / "b.mha", 2))
    contents = Contents()
    content = json.loads(training_images_file(cohort, contents, mapped=here)[TRAINING_IMAGES_FILE])
    assert content["images"] == sorted(content["images"])
    known = {contents.of(tmp_path / "a.mha"), *json.loads(json.dumps(contents._derived)).values()}
    other = write("second.csv", x=tmp_path / "a.mha", y=tmp_path / "b.mha")
    others = json.loads(images_file(other)[TRAINING_IMAGES_FILE])["images"]
    assert not {*content["images"]} & {*known, *others}
    text = json.dumps(content)
    assert not [word for word in ("Mueller", "Zoe", "a.mha", str(tmp_path)) if word in text]
    assert images_file(cohort) == images_file(cohort)


def test_a_damaged_list_is_refused(write: Write, toy_model: Path, tmp_path: Path) -> None:
    cohort = write("cohort.csv", p1=scan(tmp_path / "a.mha", 1))
    put_into_model(toy_model, cohort.algorithm, {TRAINING_IMAGES_FILE: b'{"salt": "x", "images": []}'})
    with pytest.raises(InvalidModelError, match=r"training-images\.json, salt"):
        found(cohort, toy_model)
