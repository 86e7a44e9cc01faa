"""A folder of a hospital becomes a cohort: found, chosen by rules or a person, pseudonymous, done once."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preop.cli.repository import find_algorithm
from preop.cohort import FailedPatientsError, map_patients, read_cohort
from preop.cohort.importing import Imported, import_cohort, private_folder
from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.imaging import Geometry, read_image, read_mask
from tests.dicom.export import ANNA, BERND, SHAPE, STUDY_DATE, of_patient, write_export
from tests.dicom.made import file_of, volume_of, write_series

SARCOMA = find_algorithm("sarcoma_lung_metastasis")


@pytest.fixture(scope="module", autouse=True)
def _in_this_process() -> Iterator[None]:
    """Write patients here: starting processes takes longer than all of these small images."""

    def mapped(function: Any, jobs: Any, *, description: str) -> Iterator[Any]:
        for job in jobs:
            try:
                yield job, function(job)
            except PreopError as error:
                yield job, error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("preop.cohort.importing.map_patients", mapped)
        yield


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("pacs") / "export")


@pytest.fixture(scope="module")
def cohort(export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Imported]:
    folder = tmp_path_factory.mktemp("import")
    clinical = folder / "clinical.csv"
    clinical.write_text(
        "patient,age_years,sex,birth,name,lung_metastasis\n"
        f"{ANNA[0]},68,female,24.12.1955,Anna Kowalczyk,1\n{BERND[0]},75,male,29.02.1948,B. Oberlander,0\n99,50,male,1.1.1974,X,0\n"
    )
    return folder / "cohort", import_cohort(export, SARCOMA, folder / "cohort", clinical=clinical)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(path: Path) -> dict[str, dict[str, str]]:
    return {row["description"] + row["date"]: row for row in rows_of(path)}


def test_the_cohort_can_be_read_and_holds_the_chosen_scans_in_their_units(cohort: tuple[Path, Imported]) -> None:
    folder, found = cohort
    assert found.table == folder / "cohort.csv"
    (anna,) = read_cohort(found.table, SARCOMA).patients
    assert set(anna.case.image_paths) == {"ct-image", "ct-tumour-segmentation", "pet-image", "pet-tumour-segmentation"}
    assert np.array_equal(anna.case.image("ct-image").voxels, volume_of(SHAPE))
    mask = anna.case.mask("ct-tumour-segmentation")
    assert np.flatnonzero(mask.voxels.any(axis=(1, 2))).tolist() == [4, 5, 6]
    factor = anna.case.image("pet-image").voxels.max() / np.abs(volume_of(SHAPE)).max()
    assert factor == pytest.approx(70_000 / (370e6 * 2 ** (-3600 / 6588)))
    assert anna.case.value("clinical-information") == {"age_years": 68, "sex": "female"}
    assert anna.row["lung_metastasis"] == "1"


def test_who_lacks_a_mask_is_laid_out_for_the_review(cohort: tuple[Path, Imported]) -> None:
    folder, found = cohort
    assert found.unfinished == folder / "to_draw.csv"
    (bernd,) = rows_of(found.unfinished)
    assert np.array_equal(read_image(folder / bernd["t1-mri"]).voxels, volume_of(SHAPE))
    assert bernd["age_years"] == "75"


def test_who_lacks_a_scan_is_left_out_and_named(export: Path, tmp_path: Path) -> None:
    lung = find_algorithm("lung_nodal_stage")
    with pytest.raises(InvalidInputError, match="none is an input of lung_nodal_stage"):
        import_cohort(export / "1", lung, tmp_path / "none")
    (row,) = rows_of(private_folder(tmp_path / "none") / "choices.csv")
    assert "no chest-ct: it has 12 slices, expected 40 or more" in row["reason"]
    write_series(tmp_path / "ct", volume_of((44, 6, 6)), change=of_patient(ANNA, "1.2.840.1111.1", "2", "Thorax"))
    found = import_cohort(tmp_path / "ct", lung, tmp_path / "cohort")
    assert (found.table, found.unfinished) == (None, None)
    assert any("lung_nodal_stage needs more inputs: P" in note and "(chest-ct)" in note for note in found.notes)


def test_the_table_says_of_each_series_why(cohort: tuple[Path, Imported]) -> None:
    rows = written(cohort[1].choices)
    assert rows[f"Thorax 3.0 B30f{STUDY_DATE}"]["use"] == "ct-image"
    assert "its kernel B70f is a sharp one" in rows[f"Thorax 3.0 B70f{STUDY_DATE}"]["reason"]
    assert "fits *topogram*" in rows[f"Topogram{STUDY_DATE}"]["reason"]
    assert "another examination" in rows["Thorax 3.0 B30f20240601"]["reason"]
    assert rows[f"PET AC{STUDY_DATE}"]["use"] == "pet-image"
    assert "converted from Bq/ml to SUV" in rows[f"PET AC{STUDY_DATE}"]["notes"]
    assert "*nac*" in rows[f"PET NAC{STUDY_DATE}"]["reason"]


def test_nothing_tells_whose_the_cohort_is(cohort: tuple[Path, Imported]) -> None:
    folder, found = cohort
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    names = " ".join(str(path.relative_to(folder)) for path in folder.rglob("*"))
    # None so short that a checksum under the random key holds it by chance.
    for word in ("4711-08", "Kowalczyk", "Oberl", "19551224", "1955-12", STUDY_DATE, "1.2.840", "Hausmann", "ACC-"):
        assert word.encode() not in content
        assert word not in names
    assert private_folder(folder).stat().st_mode & 0o77 == 0
    assert any("column birth of clinical.csv was left out: it holds dates" in note for note in found.notes)
    assert any("column name of clinical.csv was left out" in note for note in found.notes)
    assert any("1 of 3 rows of clinical.csv" in note for note in found.notes)
    assert any("broken.dcm" in note for note in found.notes)


def test_a_second_import_reads_and_writes_nothing_and_a_correction_counts(
    export: Path, cohort: tuple[Path, Imported], tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort[0], folder)
    shutil.copytree(private_folder(cohort[0]), private_folder(folder))
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mha")}
    import_cohort(export, SARCOMA, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.mha")} == times
    table = private_folder(folder) / "choices.csv"
    rows = rows_of(table)
    for row in rows:
        if row["use"] == "ct-image" or row["region"] == "GTV_CT":
            row["use"] = ""
        elif row["description"] == "Thorax 3.0 B70f":
            row["use"] = "ct-image"
    write(table, rows)
    for _ in range(2):  # what a person said stays
        import_cohort(export, SARCOMA, folder)
        again = written(table)
        assert again[f"Thorax 3.0 B70f{STUDY_DATE}"]["use"] == "ct-image"
        assert again[f"Thorax 3.0 B70f{STUDY_DATE}"]["chosen_by"] == "person"
        assert again[f"Thorax 3.0 B30f{STUDY_DATE}"]["reason"] == "passed over by a person"
    (anna,) = read_cohort(folder / "cohort.csv", SARCOMA).patients
    assert set(anna.case.image_paths) == {"pet-image", "pet-tumour-segmentation"}  # its CT has no contours
    rows = rows_of(table)
    rows[0]["use"] = "ct"
    write(table, rows)
    with pytest.raises(InvalidInputError, match="uses a series as 'ct'"):
        import_cohort(export, SARCOMA, folder)


def write(table: Path, rows: list[dict[str, str]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_series_that_is_no_volume_fails_its_patient_alone(export: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(export, tmp_path / "export")
    file_of(folder / "1", 5).unlink()
    found = import_cohort(folder, SARCOMA, tmp_path / "cohort")
    with pytest.raises(FailedPatientsError, match=r"(?s)1 patient could not be imported.*ct-image: 1 slice is missing"):
        found.refuse_failures()
    assert found.unfinished is not None


def test_a_key_inside_the_cohort_is_refused(export: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="lies in the cohort"):
        import_cohort(export, SARCOMA, tmp_path / "cohort", key=tmp_path / "cohort" / "key")


def test_an_original_name_in_what_was_written_is_found(
    export: Path, cohort: tuple[Path, Imported], tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort[0], folder)
    shutil.copytree(private_folder(cohort[0]), private_folder(folder))
    (folder / "remarks.txt").write_text("first line\nFrau KOWALCZYK came on 05.03.2024\n")
    with pytest.raises(InvalidOutputError, match=r"remarks\.txt, line 2 \(PatientName\)") as raised:
        import_cohort(export, SARCOMA, folder)
    assert "Kowalczyk" not in str(raised.value)


@pytest.mark.slow
def test_a_real_patient_agrees_with_the_published_images_in_space(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published images are crops: compared where they lie."""
    monkeypatch.setattr("preop.cohort.importing.map_patients", map_patients)
    found = import_cohort(data / "dicom", SARCOMA, tmp_path / "cohort")
    assert found.table is not None
    (patient,) = read_cohort(found.table, SARCOMA).patients
    assert len(patient.case.image_paths) == 6
    for name, scan, mask in (
        ("CT", "ct-image", "ct-tumour-segmentation"),
        ("MR_T1", "t1-mri", "t1-mri-tumour-segmentation"),
        ("PET", "pet-image", "pet-tumour-segmentation"),
    ):
        published = read_image(data / f"sarcoma/STS_002/{name}_image.nii.gz")
        drawn = read_mask(data / f"sarcoma/STS_002/{name}_mask.nii.gz")
        ours, our_mask = patient.case.image(scan), patient.case.mask(mask)
        there = inside(ours.geometry, published.geometry)
        # The T1 images were normalised before they were published.
        theirs = published.voxels.astype(float)
        values = ours.voxels[there[0]].astype(float)
        if name == "MR_T1":
            assert np.corrcoef(values, theirs[there[1]])[0, 1] > 0.9
        else:
            assert np.abs(values - theirs[there[1]]).max() <= 1e-3 * np.abs(theirs).max()
        one, other = our_mask.voxels[there[0]], drawn.voxels[there[1]]
        assert 2 * (one & other).sum() / (our_mask.voxels.sum() + drawn.voxels.sum()) >= 0.99


def inside(ours: Geometry, theirs: Geometry) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Voxels of both grids that lie in the same place."""
    index = np.stack(np.meshgrid(*map(np.arange, theirs.shape), indexing="ij"), -1).reshape(-1, 3)
    here = ours.index_zyx(theirs.world_mm(index))
    whole = np.rint(here).astype(int)
    same = (np.abs(here - whole).max(axis=1) < 0.02) & ((whole >= 0) & (whole < ours.shape)).all(axis=1)
    assert same.mean() > 0.99
    return tuple(whole[same].T), tuple(index[same].T)
