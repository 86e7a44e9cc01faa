"""Radiomics of a table: resumes, tells who failed, and never mixes settings."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preop.cohort import extract_cohort, write_extraction
from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging import Geometry, Image, write_image
from preop.radiomics import Settings, extract

SETTINGS = Settings(spacing_mm=None)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three patients: two with a small ball, one with an empty mask, and a fourth without a scan."""
    grid = Geometry.axis_aligned((7, 8, 9), (1.0, 1.0, 1.0))
    distance = np.linalg.norm(np.indices(grid.shape) - np.array([3, 4, 4])[:, None, None, None], axis=0)
    for name, radius in (("a", 2.5), ("b", 3.0), ("empty", -1.0)):
        write_image(Image(np.round(10 * distance).astype(np.int16), grid), tmp_path / f"{name}.mha")
        write_image(Image(distance <= radius, grid), tmp_path / f"{name}_mask.mha")
    rows = ["patient,image,mask", *(f"{name},{name}.mha,{name}_mask.mha" for name in ("b", "a", "empty")), "none,,"]
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "cohort.csv"


def run(table: Path, settings: Settings = SETTINGS) -> dict[str, str]:
    output = table.with_name("features.csv")
    return extract_cohort(table, output, image_column="image", mask_column="mask", settings=settings)


def test_each_patient_is_a_row_and_failures_are_told(table: Path) -> None:
    failures = run(table)
    assert list(failures) == ["empty"]
    assert "empty" in failures["empty"]
    features = pd.read_csv(table.with_name("features.csv"))
    assert features["patient"].tolist() == ["b", "a"]
    assert features["morph_volume"][0] > features["morph_volume"][1]


def test_a_stopped_run_goes_on_where_it_was(table: Path) -> None:
    run(table)
    before = table.with_name("features.csv").read_bytes()
    parts = table.with_name("features.csv.parts")
    (parts / "a.json").unlink()
    kept = (parts / "b.json").stat().st_mtime_ns
    run(table)
    assert table.with_name("features.csv").read_bytes() == before
    assert (parts / "b.json").stat().st_mtime_ns == kept


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
