"""What leaves a review: the approved cohort, readings, agreement, history; and results that are shown."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preop.cohort import read_cohort
from preop.errors import InvalidInputError
from preop.imaging import Image, read_mask
from preop.review.agreement import compare_masks, reviewer_agreement
from preop.review.exports import write_agreement, write_approved_cohort, write_history, write_readings
from preop.review.records import Records
from preop.review.results import Predictions
from preop.review.start import Options, Tables, open_review, write_tables
from preop.review.tables import Phase
from tests.review.conftest import CT, CT_MASK, OBLIQUE_GRID, STRAIGHT_GRID, STUDIES, ball, lay_out_results

ONE, TWO, THREE = 1, 2, 3


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def approve(records: Records, patient: int, reviewer: str = "A. Meyer") -> None:
    records.decide(patient, "approve", reviewer=reviewer, revision=records.one(patient).revision)


def correct(records: Records, patient: int, radius: float, reviewer: str = "A. Meyer") -> None:
    grid = OBLIQUE_GRID if patient == ONE else STRAIGHT_GRID
    revision = records.one(patient).revision
    records.save_mask(patient, CT_MASK, ball(grid, radius), reviewer=reviewer, revision=revision)


def test_the_approved_cohort_holds_approved_masks_alone_and_can_be_trained_on(records: Records, tmp_path: Path) -> None:
    correct(records, ONE, 6)
    approve(records, ONE)
    correct(records, TWO, 5, "B. Khan")
    approve(records, TWO, "B. Khan")
    records.decide(THREE, "reject", reviewer="B. Khan", revision=0)
    target = tmp_path / "elsewhere" / "approved.csv"
    assert write_approved_cohort(records, target) == 2
    cohort = read_cohort(target, records.cohort.algorithm)
    assert [patient.name for patient in cohort.patients] == ["one", "two"]
    for patient, grid, radius in zip(cohort.patients, (OBLIQUE_GRID, STRAIGHT_GRID), (6, 5), strict=True):
        mask = read_mask(patient.case.image_paths[CT_MASK])
        assert np.array_equal(mask.voxels, ball(grid, radius).voxels > 0)
        assert patient.case.image_paths[CT].is_file()
    assert [(row["masks"], row["approved_by"], row["lung_metastasis"]) for row in rows_of(target)] == [
        ("corrected", "A. Meyer", "1"),
        ("drawn", "B. Khan", "0"),
    ]


def test_who_approved_what_goes_into_the_provenance_of_a_model(records: Records, tmp_path: Path) -> None:
    (records.cohort.table.with_suffix(".toml")).write_text('description = "Three patients."\nlicence = "CC0"\n')
    approve(records, ONE)
    correct(records, TWO, 5, "B. Khan")
    approve(records, TWO, "B. Khan")
    write_approved_cohort(records, tmp_path / "approved.csv")
    source = read_cohort(tmp_path / "approved.csv", records.cohort.algorithm).source
    assert source.description == (
        "Three patients. Masks approved in a review by A. Meyer (1 as they were); B. Khan (1 drawn)."
    )
    assert source.licence == "CC0"
    assert tomllib.loads((tmp_path / "approved.toml").read_text())["licence"] == "CC0"


def test_the_cohort_itself_is_never_overwritten(records: Records) -> None:
    approve(records, ONE)
    with pytest.raises(InvalidInputError, match="name another file"):
        write_approved_cohort(records, records.cohort.table)


def test_an_approved_mask_that_was_deleted_is_told(records: Records, tmp_path: Path) -> None:
    correct(records, ONE, 6)
    approve(records, ONE)
    current = records.one(ONE).current(CT_MASK)
    assert current is not None
    current.path.unlink()
    with pytest.raises(InvalidInputError, match="is missing"):
        write_approved_cohort(records, tmp_path / "approved.csv")


@pytest.mark.parametrize("write", [write_approved_cohort, write_agreement, write_history])
def test_a_table_of_nothing_is_not_written(write: Any, records: Records, tmp_path: Path) -> None:
    if write is write_history:
        assert write(records, tmp_path / "table.csv") == 0
    else:
        with pytest.raises(InvalidInputError):
            write(records, tmp_path / "table.csv")
        assert not (tmp_path / "table.csv").exists()


def cube(start: int) -> Image:
    voxels = np.zeros(STRAIGHT_GRID.shape, np.uint8)
    voxels[4:10, 10:20, start : start + 10] = 1
    return Image(voxels, STRAIGHT_GRID)


def test_two_cubes_that_are_two_voxels_apart_agree_as_counted_by_hand() -> None:
    found = compare_masks(cube(8), cube(10))
    assert found.dice == pytest.approx(0.8)  # 8 of 10 columns in common
    assert found.volumes_ml == pytest.approx((1.8, 1.8))  # 600 voxels of 3 mm3
    assert found.hausdorff_95_mm == pytest.approx(2.0)
    assert found.mean_surface_mm is not None
    assert 0 < found.mean_surface_mm < 2


def test_a_mask_agrees_with_itself_and_with_nothing_not_at_all() -> None:
    same = compare_masks(cube(8), cube(8))
    assert (same.dice, same.mean_surface_mm, same.hausdorff_95_mm) == (1, 0, 0)
    nothing = Image(np.zeros(STRAIGHT_GRID.shape, np.uint8), STRAIGHT_GRID)
    assert (compare_masks(cube(8), nothing).dice, compare_masks(cube(8), nothing).mean_surface_mm) == (0, None)
    assert compare_masks(nothing, nothing).dice == 1
    with pytest.raises(InvalidInputError, match="different grids"):
        compare_masks(cube(8), ball(OBLIQUE_GRID))


def test_surface_distances_are_in_millimetres_along_each_axis() -> None:
    """One plane of voxels against another two slices of 3 mm away."""
    one, other = (np.zeros(STRAIGHT_GRID.shape, np.uint8) for _ in range(2))
    one[5, 5:25, 5:25] = other[7, 5:25, 5:25] = 1
    found = compare_masks(Image(one, STRAIGHT_GRID), Image(other, STRAIGHT_GRID))
    assert (found.mean_surface_mm, found.hausdorff_95_mm) == pytest.approx((6, 6))


def test_reviewers_are_compared_by_their_last_masks_or_what_they_approved(records: Records, tmp_path: Path) -> None:
    approve(records, ONE, "A. Meyer")  # the original, a ball of 8 mm
    correct(records, ONE, 4, "B. Khan")
    correct(records, ONE, 6, "B. Khan")
    (found,) = reviewer_agreement(records)
    assert (found.patient, found.reviewers, found.numbers) == ("one", ("A. Meyer", "B. Khan"), (0, 2))
    assert found.figures is not None
    sizes = [ball(OBLIQUE_GRID, radius).voxels.sum() for radius in (8, 6)]
    assert found.figures.dice == pytest.approx(2 * sizes[1] / sum(sizes))
    assert write_agreement(records, tmp_path / "agreement.csv") == 1
    assert rows_of(tmp_path / "agreement.csv")[0]["dice"] == f"{found.figures.dice:.4f}"


def test_readings_become_one_row_a_patient_and_reader_for_the_paired_evaluation(
    records: Records, tmp_path: Path
) -> None:
    records.read(ONE, Phase.BEFORE, "no", reader="A", likelihood=0.3)
    records.read(ONE, Phase.AFTER, "yes", reader="A", likelihood=0.8, algorithm_said="0.9")
    records.read(TWO, Phase.BEFORE, "no", reader="B")
    results = lay_out_results(tmp_path / "validation", {"one": 0.9, "two": 0.1})
    predictions = Predictions(results, records.cohort.algorithm, ["one", "two", "three"])
    assert write_readings(records, tmp_path / "readings.csv", predictions) == 2
    found = [
        [row[name] for name in ("patient", "reader", "before_answer", "before_likelihood", "after_answer", "algorithm")]
        for row in rows_of(tmp_path / "readings.csv")
    ]
    assert found == [["one", "A", "no", "0.3", "yes", "0.9"], ["two", "B", "no", "", "", "0.1"]]


def test_a_reader_of_a_study_sees_the_result_after_an_answer_of_their_own(cohort: Path, tmp_path: Path) -> None:
    results = lay_out_results(tmp_path / "validation", {"one": 0.9})
    review = open_review(cohort, STUDIES, Options(results=results, reader_study=True))
    standing = review.records.one(ONE)
    assert review.answer(standing, "A") is None
    review.records.read(ONE, Phase.BEFORE, "no", reader="A")
    answer = review.answer(standing, "A")
    assert answer is not None
    assert answer.said == 0.9
    assert review.answer(standing, "B") is None


def test_a_reader_study_without_results_is_refused(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--results"):
        open_review(cohort, STUDIES, Options(reader_study=True))
    with pytest.raises(InvalidInputError, match="holds no outputs of sarcoma_lung_metastasis"):
        open_review(cohort, STUDIES, Options(results=tmp_path))


def test_the_command_tells_what_it_wrote(records: Records, cohort: Path, tmp_path: Path) -> None:
    approve(records, ONE)
    told = write_tables(
        cohort, STUDIES, Options(), Tables(cohort=tmp_path / "approved.csv", history=tmp_path / "history.csv")
    )
    assert told[0].startswith("1 of 3 patients approved")
    assert told[1].startswith("1 change;")
    assert rows_of(tmp_path / "history.csv")[0]["what"] == "to do → approved"
