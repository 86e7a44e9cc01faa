"""A cohort table proposed from file names: what is clear is matched, and all else is told and left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from preop.cohort.proposal import Proposal, propose_cohort
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.tables import read_table
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def sarcoma() -> Algorithm:
    return read_algorithm(ROOT / "algorithms" / "sarcoma_lung_metastasis")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def taken(proposal: Proposal) -> dict[str, str | None]:
    return {pattern.form: pattern.slug for pattern in proposal.patterns}


def test_files_side_by_side_are_matched_by_the_words_after_the_name(sarcoma: Algorithm, tmp_path: Path) -> None:
    names = [f"{patient}_{what}.nii.gz" for patient in ("A_01", "A_02") for what in ("ct", "CT_mask", "t1_seg")]
    proposal = propose_cohort(touch(tmp_path, *names), sarcoma)
    assert taken(proposal) == {
        "{patient}_CT_mask.nii.gz": "ct-tumour-segmentation",
        "{patient}_ct.nii.gz": "ct-image",
        "{patient}_t1_seg.nii.gz": "t1-mri-tumour-segmentation",
    }
    assert [row["patient"] for row in proposal.rows] == ["A_01", "A_02"]
    assert proposal.remarks[-1].startswith("A_01, A_02: The inputs ct-image, ct-tumour-segmentation, t1-mri-tumour")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("T1", "t1-mri"),
        ("t1w", "t1-mri"),
        ("T1_post", "contrast-t1-mri"),
        ("t1_gd", "contrast-t1-mri"),
        ("T2_FS", "t2-fs-mri"),
        ("stir", "t2-fs-mri"),
        ("t2_fs_mask", "t2-fs-mri-tumour-segmentation"),
        ("t1_fs", None),
        ("MR", None),
    ],
)
def test_sequences_of_mr_are_told_apart_where_their_names_say_so(
    sarcoma: Algorithm, tmp_path: Path, name: str, slug: str | None
) -> None:
    proposal = propose_cohort(touch(tmp_path, f"A_01_{name}.nii.gz", f"A_02_{name}.nii.gz"), sarcoma)
    assert list(taken(proposal).values()) == [slug]


def test_folders_of_patients_and_a_clinical_table_make_a_table_that_lies_elsewhere(
    sarcoma: Algorithm, tmp_path: Path
) -> None:
    folder = touch(
        tmp_path / "images", *(f"{name}/s/ct{end}.mha" for name in ("p1", "p10", "p2") for end in ("", "_seg"))
    )
    (tmp_path / "clinical.csv").write_text("patient;Age;sex;lung_metastasis\np1;61;F;1\np10;70;female;0\np3;50;m;0\n")
    proposal = propose_cohort(
        folder,
        sarcoma,
        clinical=tmp_path / "clinical.csv",
        columns={"age_years": "Age"},
        values={("sex", "F"): "female"},
    )
    told = " ".join(proposal.remarks)
    assert "2 files name no patient of the clinical table: p2/s/ct.mha, p2/s/ct_seg.mha." in told
    assert "1 patient of the clinical table without a file: p3." in told
    assert "sex holds 'm' (1 patient); expected female, male." in told
    (tmp_path / "tables").mkdir()
    proposal.write(tmp_path / "tables" / "cohort.csv", sarcoma)
    rows = read_table(tmp_path / "tables" / "cohort.csv", key="patient").rows
    assert rows[0] == {
        "patient": "p1",
        "ct-image": "../images/p1/s/ct.mha",
        "ct-tumour-segmentation": "../images/p1/s/ct_seg.mha",
        "age_years": "61",
        "sex": "female",
        "lung_metastasis": "1",
    }
    with pytest.raises(InvalidInputError, match="exists: name another file"):
        proposal.write(tmp_path / "tables" / "cohort.csv", sarcoma)


def test_what_could_be_two_inputs_or_is_there_twice_is_left_out_until_it_is_named(
    sarcoma: Algorithm, tmp_path: Path
) -> None:
    folder = touch(tmp_path, *(f"{name}/{file}.nrrd" for name in "ab" for file in ("ct", "ct_old", "tumour_mask", "x")))
    touch(tmp_path, "a/dcm/1.dcm", "a/dcm/2.dcm")
    found = propose_cohort(folder, sarcoma)
    assert set(taken(found).values()) == {None}
    named = {"ct-image": ["{patient}/ct.nrrd"], "ct-tumour-segmentation": ["{patient}/tumour_mask.nrrd"]}
    proposal = propose_cohort(folder, sarcoma, files=named)
    assert proposal.rows == [
        {"patient": name, "ct-image": f"{name}/ct.nrrd", "ct-tumour-segmentation": f"{name}/tumour_mask.nrrd"}
        for name in "ab"
    ]
    assert taken(proposal)["{patient}/dcm"] is None


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"ct-imag": ["{patient}.mha"]}, r"no image input ct-imag \(did you mean ct-image\?\)"),
        ({"ct-image": ["ct.mha"]}, r"The pattern ct.mha of ct-image has no \{patient\}"),
        ({"ct-image": ["{patient}/no.mha"]}, r"No file matches the pattern"),
    ],
)
def test_a_wrong_pattern_is_told(
    sarcoma: Algorithm, tmp_path: Path, files: dict[str, list[str]], sentence: str
) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        propose_cohort(touch(tmp_path, "a.mha"), sarcoma, files=files)
