"""Radiomics of a table: resumes, tells who failed, and never mixes settings."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from preop.cohort import FailedPatientsError, Outcome, extract_cohort, write_extraction
from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging import Geometry, Image, write_image
from preop.imaging.files import to_sitk
from preop.radiomics import Settings, extract

pytestmark = pytest.mark.usefixtures("in_this_process")

SETTINGS = Settings(spacing_mm=None)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three patients: two with a small ball, one with an empty mask, and a fourth without a scan."""
    grid = Geometry.axis_aligned((7, 8, 9), (1.0, 1.0, 1.0))
    distance = np.linalg.norm(np.indices(grid.shape) - np.array([3, 4, 4])[:, None, None, None], axis=0)
    for name, radius in (("a", 2.5), ("b", 3.0), ("empty", -1.0)):
        write_image(Image(np.round(10 * distance - 50).astype(np.int16), grid), tmp_path / f"{name}.mha")
        write_image(Image(distance <= radius, grid), tmp_path / f"{name}_mask.mha")
    rows = ["patient,image,mask", *(f"{name},{name}.mha,{name}_mask.mha" for name in ("b", "a", "empty")), "none,,"]
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "cohort.csv"


def run(table: Path, settings: Settings = SETTINGS) -> Outcome:
    output = table.with_name("features.csv")
    return extract_cohort(table, output, image_column="image", mask_column="mask", settings=settings)


def test_each_patient_is_a_row_and_failures_are_told(table: Path) -> None:
    failures = run(table).failures
    assert list(failures) == ["empty"]
    assert "empty" in failures["empty"]
    features = pd.read_csv(table.with_name("features.csv"))
    assert features["patient"].tolist() == ["b", "a"]
    assert features["morph_volume"][0] > features["morph_volume"][1]


def parts_of(table: Path) -> dict[str, int]:
    """When each patient's features were written."""
    folder = table.with_name("features.csv.parts")
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/features.json")}


def test_a_stopped_run_goes_on_where_it_was(table: Path) -> None:
    run(table)
    before = table.with_name("features.csv").read_bytes()
    kept = parts_of(table)
    shutil.rmtree(table.with_name("features.csv.parts") / "a")
    assert not any("Computed anew" in note for note in run(table).notes)
    assert table.with_name("features.csv").read_bytes() == before
    assert parts_of(table)["b"] == kept["b"]


def ball(radius: float) -> Image:
    grid = Geometry.axis_aligned((7, 8, 9), (1.0, 1.0, 1.0))
    distance = np.linalg.norm(np.indices(grid.shape) - np.array([3, 4, 4])[:, None, None, None], axis=0)
    return Image(distance <= radius, grid)


def volume_of(table: Path, patient: str) -> float:
    features = pd.read_csv(table.with_name("features.csv"), dtype={"patient": str}).set_index("patient")
    return float(features.loc[patient, "morph_vol_approx"])


def test_a_mask_that_was_redrawn_under_its_name_is_measured_anew_and_said(table: Path) -> None:
    run(table)
    kept = parts_of(table)
    write_image(ball(1.0), table.with_name("a_mask.mha"))
    outcome = run(table)
    assert "Computed anew, because the mask changed since the last run: a." in outcome.notes
    assert volume_of(table, "a") == 7  # the centre and its six neighbours
    assert parts_of(table)["b"] == kept["b"]


def test_a_row_that_points_to_another_file_is_measured_anew(table: Path) -> None:
    run(table)
    write_image(ball(1.0), table.with_name("other.mha"))
    table.write_text(table.read_text().replace("a_mask.mha", "other.mha"))
    run(table)
    assert volume_of(table, "a") == 7


def test_the_voxels_beside_a_header_count_even_with_the_old_size_and_time(table: Path) -> None:
    header = table.with_name("a_mask.mhd")
    sitk.WriteImage(to_sitk(ball(2.5)), str(header))
    table.write_text(table.read_text().replace("a_mask.mha", "a_mask.mhd"))
    run(table)
    voxels = header.with_suffix(".raw")
    before = voxels.stat()
    voxels.write_bytes(ball(1.0).voxels.astype(np.uint8).tobytes())
    os.utime(voxels, ns=(before.st_atime_ns, before.st_mtime_ns))
    run(table)
    assert volume_of(table, "a") == 7


def test_a_patient_who_fails_now_is_not_served_from_before(table: Path) -> None:
    run(table)
    table.with_name("a.mha").unlink()
    outcome = run(table)
    assert sorted(outcome.failures) == ["a", "empty"]
    assert pd.read_csv(table.with_name("features.csv"))["patient"].tolist() == ["b"]


def test_where_all_fail_no_table_of_an_earlier_run_is_left(table: Path) -> None:
    run(table)
    for name in ("a", "b"):
        table.with_name(f"{name}.mha").unlink()
    with pytest.raises(FailedPatientsError, match=r"(?s)3 of 3 patients failed.*\na: .*\nb: .*\nempty: "):
        run(table)
    assert not table.with_name("features.csv").exists()


def test_other_settings_are_not_mixed_in(table: Path) -> None:
    run(table)
    with pytest.raises(InvalidOutputError, match="name another folder"):
        run(table, Settings(spacing_mm=None, round_intensities=False))


def test_a_column_that_is_not_there_is_told(table: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"has no column ct; its columns are patient, image, mask"):
        extract_cohort(table, table.with_name("f.csv"), image_column="ct", mask_column="mask", settings=SETTINGS)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_one_scan_is_a_row_or_a_record(table: Path, suffix: str) -> None:
    extraction = extract(table.with_name("a.mha"), table.with_name("a_mask.mha"), SETTINGS)
    output = table.with_name(f"one{suffix}")
    write_extraction(extraction, output)
    if suffix == ".csv":
        assert pd.read_csv(output)["morph_volume"][0] == pytest.approx(extraction.features["morph_volume"])
    else:
        assert json.loads(output.read_text())["settings"]["spacing_mm"] is None
    with pytest.raises(InvalidOutputError, match="is there already"):
        write_extraction(extraction, output)
    with pytest.raises(InvalidOutputError, match=r"expected \.csv or \.json"):
        write_extraction(extraction, table.with_name("features.xlsx"))
