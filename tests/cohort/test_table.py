"""A cohort table: each row becomes a case, and each mistake in it is told with its patient."""

from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from preop.cohort import read_cohort, write_source
from preop.cohort.table import Cohort
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.study import DataSource
from tests.conftest import scan_of

HEADER = "patient,centre,scan,mask,age,sex,outcome"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    for name in ("a", "b"):
        sitk.WriteImage(scan_of(), str(tmp_path / f"{name}.mha"))
        sitk.WriteImage(sitk.Cast(scan_of() > 0, sitk.sitkUInt8), str(tmp_path / f"{name}_mask.mha"))

    def make(*rows: str, header: str = HEADER) -> Path:
        path = tmp_path / "cohort.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return make


def test_rows_become_cases(toy: Algorithm, write: Callable[..., Path]) -> None:
    cohort = read_cohort(write("A,here,a.mha,a_mask.mha,50,male,1", "B,there,b.mha,,,,0"), toy)
    first, second = cohort.patients
    assert first.case.interface == ("facts", "mask", "scan")
    assert first.case.value("facts") == {"age": 50.0, "sex": "male"}
    assert first.case.image("scan").shape == (4, 5, 6)
    assert first.reference_number("outcome") == 1
    assert second.case.interface == ("scan",)
    assert second.centre == "there"


def test_the_source_stands_beside_the_table(toy: Algorithm, write: Callable[..., Path]) -> None:
    path = write("A,,a.mha,,,,1")
    assert read_cohort(path, toy).source == DataSource()
    source = DataSource(description='Two "patients"', citation="Müller 2020", simulated=True)
    write_source(source, path)
    assert read_cohort(path, toy).source == source


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["A,,missing.mha,,,,1"], "cohort.csv, patient A: scan: there is no file"),
        (["A,,a.mha,,50,,1"], "cohort.csv, patient A: The inputs facts, scan are not a combination"),
        (["A,,a.mha,a_mask.mha,old,,1"], "age of A is 'old'; expected a number"),
        (["A,,a.mha,a_mask.mha,500,,1"], "facts.age: 500.0 is greater than the maximum of 120"),
        (["A,,a.mha,a_mask.mha,,man,1"], "facts.sex: 'man' is not one of"),
        (["A,,a.mha,,,,1", "A,,b.mha,,,,0"], "two rows for the patient A, in lines 2 and 3"),
        (["A,,a.mha,a_mask.mha,6_9,,1"], "age of A is '6_9'; expected a number"),
        (["A,,a.mha,a_mask.mha,1e400,,1"], "age of A is '1e400'; expected a number"),
        ([], "has no patients"),
    ],
)
def test_a_mistake_is_told_with_its_patient(
    toy: Algorithm, write: Callable[..., Path], rows: list[str], sentence: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_cohort(write(*rows), toy)
    assert sentence in str(caught.value)


def test_a_table_without_patients_column_or_file_is_refused(
    toy: Algorithm, write: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="has no column patient; its columns are name, scan"):
        read_cohort(write("A,a.mha", header="name,scan"), toy)
    with pytest.raises(InvalidInputError, match="There is no cohort table"):
        read_cohort(tmp_path / "none.csv", toy)


@pytest.mark.parametrize(("cell", "sentence"), [("", "outcome of A is ''"), ("yes", "outcome of A is 'yes'")])
def test_a_reference_that_is_no_number_is_told(
    toy: Algorithm, write: Callable[..., Path], cell: str, sentence: str
) -> None:
    cohort: Cohort = read_cohort(write(f"A,,a.mha,,,,{cell}"), toy)
    with pytest.raises(InvalidInputError, match=sentence):
        cohort.patients[0].reference_number("outcome")
    with pytest.raises(InvalidInputError, match="has no column stage"):
        cohort.patients[0].reference_number("stage")


def test_a_group_says_whose_rows_belong_together(toy: Algorithm, write: Callable[..., Path]) -> None:
    header = "Patient,Group,Scan,outcome"
    cohort = read_cohort(write("A,x,a.mha,1", "B,x,b.mha,0", "C,,b.mha,0", header=header), toy)
    assert [patient.group for patient in cohort.patients] == ["x", "x", "C"]
    assert "The column Scan of cohort.csv was read as scan." in cohort.notes


def test_a_hospital_table_from_a_spreadsheet_is_read_and_told(toy: Algorithm, write: Callable[..., Path]) -> None:
    rows = ("A;hier;a.mha;a_mask.mha;50,5;male;1", ";;;;;;", "B;da;b.mha;b_mask.mha;61,25;female;0")
    cohort = read_cohort(write(*rows, header=HEADER.replace(",", ";")), toy)
    assert [patient.case.value("facts")["age"] for patient in cohort.patients] == [50.5, 61.25]
    assert len(cohort.notes) == 3
