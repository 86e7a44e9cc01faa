"""A cohort measured patient by patient: what changed is done again and said, what failed is told of all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preop.cohort import Cohort, FailedPatientsError, Patient, PatientFailedError, measure_patients, read_cohort
from preop.errors import InvalidInputError, InvalidOutputError
from preop.folders import locked
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image, write_image

pytestmark = pytest.mark.usefixtures("in_this_process")

GRID = Geometry.axis_aligned((2, 3, 4), (3.0, 1.0, 1.0))


def measure(patient: Patient, folder: Path) -> None:
    """Write down the mean of the scan and the age."""
    if patient.row["outcome"] == "dies":
        raise PatientFailedError("Its process died.", "Traceback")
    if patient.row["outcome"] == "fails":
        (folder / "half").write_text("half")
        raise InvalidInputError("The scan is flat.")
    age = patient.case.value("facts")["age"]
    (folder / "measured").write_text(f"{patient.case.image('scan').voxels.mean():g} {age:g}")


Write = Callable[..., Cohort]


@pytest.fixture
def write(toy: Algorithm, tmp_path: Path) -> Write:
    """Function that writes a table of three patients with a flat scan of 1, 2 and 3, and reads it."""
    for number in (1, 2, 3):
        scan(tmp_path, number, number)

    def make(*outcomes: str, ages: tuple[int, ...] = (50, 60, 70)) -> Cohort:
        rows = [
            f"{name},{n}.mha,{n}_mask.mha,{age},male,{outcome}"
            for n, (name, age, outcome) in enumerate(zip(("a", "../b", "B"), ages, outcomes or "010", strict=True), 1)
        ]
        path = tmp_path / "cohort.csv"
        path.write_text("\n".join(["patient,scan,mask,age,sex,outcome", *rows]))
        return read_cohort(path, toy)

    return make


def scan(folder: Path, number: int, value: int) -> None:
    write_image(Image(np.full(GRID.shape, value, np.int16), GRID), folder / f"{number}.mha")
    write_image(Image(np.ones(GRID.shape, bool), GRID), folder / f"{number}_mask.mha")


def run(cohort: Cohort, work: Path, **more: object) -> dict[str, str]:
    found = measure_patients(cohort, work, measure, description="Measuring", **more)  # type: ignore[arg-type]
    assert all(folder.parent == work for folder in found.values())
    return {name: (folder / "measured").read_text() for name, folder in found.items()}


def test_only_what_changed_is_measured_again_and_said(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    assert run(write(), work) == {"a": "1 50", "../b": "2 60", "B": "3 70"}
    times = {path: path.stat().st_mtime_ns for path in work.glob("*/measured")}
    scan(tmp_path, 1, 7)
    assert run(write(ages=(50, 61, 70)), work) == {"a": "7 50", "../b": "2 61", "B": "3 70"}
    told = capsys.readouterr().err
    assert "Computed anew, because scan changed since the last run: a." in told
    assert "Computed anew, because the row changed since the last run: ../b." in told
    assert sum(times[path] == path.stat().st_mtime_ns for path in times) == 1


def test_settings_and_other_files_count_and_columns_that_are_not_read_do_not(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tmp_path / "network"
    network.mkdir()
    (network / "weights").write_text("1")
    more = {"settings": {"mm": 1}, "inputs": [network], "columns": ["centre"]}
    run(write(), tmp_path / "work", **more)
    run(write("1", "1", "1"), tmp_path / "work", **more)
    assert capsys.readouterr().err == ""
    (network / "weights").write_text("2")
    run(write(), tmp_path / "work", **more)
    assert "because network changed since the last run: a, ../b, B." in capsys.readouterr().err
    run(write(), tmp_path / "work", **(more | {"settings": {"mm": 2}}))
    assert "because the settings changed" in capsys.readouterr().err


def test_all_who_fail_are_told_together_and_what_is_finished_is_kept(write: Write, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(FailedPatientsError) as caught:
        run(write("0", "fails", "dies"), work)
    first, *others = str(caught.value).splitlines()
    assert first.startswith("2 of 3 patients failed; what was finished is kept in")
    assert others == [
        "../b: The scan is flat.",
        "B: Its process died.",
        f"Tracebacks are in {work / 'failures.log'}",
    ]
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*/measured")}
    assert len(kept) == 1
    assert not list(work.rglob("half"))
    assert (work / "failures.log").read_text() == "../b: The scan is flat.\n\nB: Its process died.\nTraceback\n"
    assert run(write(), work) == {"a": "1 50", "../b": "2 60", "B": "3 70"}
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert not (work / "failures.log").exists()


def test_another_run_in_the_folder_is_refused(write: Write, tmp_path: Path) -> None:
    with locked(tmp_path / "work"), pytest.raises(InvalidOutputError, match="Another run is at work in"):
        run(write(), tmp_path / "work")
