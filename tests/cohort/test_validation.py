"""A cohort predicted: each patient once, as long as neither the model nor what is known of the patient changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.evaluate import evaluate
from evaluation.tasks import read_task
from preop.cohort import Cohort, predict_cohort, read_cohort, reference_of, write_ground_truth
from preop.engines.base import Engine
from preop.engines.choosing import find_engine
from preop.engines.processes import ProcessEngine
from preop.errors import InvalidInputError, InvalidModelError, InvalidOutputError
from preop.folders import locked
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.predictions import read_predictions
from preop.imaging import Geometry, Image, write_image
from tests.study.entries import write_stored

pytestmark = pytest.mark.slow

GRID = Geometry.axis_aligned((2, 3, 4), (3.0, 1.0, 1.0))
NAMES = ("../x", "predictions.json", "CON", "con", "a")
TASK = """
title = "Toy"
study = "toy"
kind = "binary"
case_sockets = ["scan"]
prediction_socket = "score"
threshold_socket = "facts"
threshold_key = "threshold"
reference_column = "outcome"
simulated = true
source = "Nowhere."
"""
Write = Callable[..., Cohort]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """One program is enough, and starts once."""
    monkeypatch.setattr("preop.cohort.serving.cores", lambda: 1)


@pytest.fixture
def engine() -> Engine:
    """What runs programs here without any image."""
    return find_engine("process")


def scan(folder: Path, name: str, value: float) -> None:
    write_image(Image(np.full(GRID.shape, value, np.float32), GRID), folder / name)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "task.toml").write_text(TASK)
    return tmp_path / "task.toml"


@pytest.fixture
def write(toy: Algorithm, tmp_path: Path) -> Write:
    """Function that writes and reads a cohort, whose patients have flat scans of 0.0, 0.1, 0.2, ..."""

    def make(names: tuple[str, ...] = NAMES) -> Cohort:
        for number in range(len(names)):
            if not (tmp_path / f"{number}.mha").exists():
                scan(tmp_path, f"{number}.mha", number / 10)
        rows = [f"{name};{number}.mha;{number % 2}" for number, name in enumerate(names)]
        (tmp_path / "cohort.csv").write_text("\n".join(["patient;scan;outcome", *rows]))
        return read_cohort(tmp_path / "cohort.csv", toy)

    return make


def scores(output: Path) -> dict[str, float | None]:
    """Score of each patient, joined with the reference by the name of the case, as the evaluation does."""
    jobs = {job.case_name("scan"): job for job in read_predictions(output / "predictions")}
    reference = pd.read_csv(output / "ground_truth" / "reference.csv", dtype=str)
    assert set(reference["case"]) == set(jobs)
    names = reference.get("patient", reference["case"])
    found = {name: jobs[case] for name, case in zip(names, reference["case"], strict=True)}
    return {name: round(job.value("score"), 3) if job.succeeded else None for name, job in found.items()}


def test_patients_of_any_name_are_predicted_once_until_something_changes(
    write: Write, toy_model: Path, task: Path, engine: Engine, tmp_path: Path
) -> None:
    output = tmp_path / "validation"
    assert predict_cohort(write(), toy_model, output, task=task, engine=engine).failures == {}
    assert scores(output) == dict(zip(NAMES, (0.0, 0.1, 0.2, 0.3, 0.4), strict=True))
    outputs = {path: path.stat().st_mtime_ns for path in output.glob("predictions/*/output/score.json")}
    assert len(outputs) == 5
    scan(tmp_path, "1.mha", 0.9)
    outcome = predict_cohort(write(), toy_model, output, task=task, engine=engine)
    assert outcome.notes == (
        "The columns of cohort.csv are separated by semicolons.",
        "Computed anew, because scan changed since the last run: predictions.json.",
    )
    assert scores(output)["predictions.json"] == 0.9
    assert sum(outputs[path] == path.stat().st_mtime_ns for path in outputs) == 4


def test_another_model_or_run_is_not_mixed_in(
    write: Write, toy: Algorithm, toy_model: Path, task: Path, engine: Engine, tmp_path: Path
) -> None:
    output = tmp_path / "validation"
    predict_cohort(write(), toy_model, output, task=task, engine=engine)
    with locked(output), pytest.raises(InvalidOutputError, match="Another run is at work in"):
        predict_cohort(write(), toy_model, output, task=task, engine=engine)
    write_stored(toy_model, "weights.json", {"other": 1})
    with pytest.raises(InvalidOutputError, match=r"made with model .* name another folder"):
        predict_cohort(write(), toy_model, output, task=task, engine=engine)


def test_a_patient_under_two_names_or_without_reference_is_refused_before_any_work(
    write: Write, toy_model: Path, task: Path, engine: Engine, tmp_path: Path
) -> None:
    scan(tmp_path, "2.mha", 0.1)
    with pytest.raises(InvalidInputError, match=r"the same image under several patients: predictions\.json and CON"):
        predict_cohort(write(), toy_model, tmp_path / "validation", task=task, engine=engine)
    assert not list((tmp_path / "validation").glob("predictions/*"))


def test_a_patient_that_fails_in_a_way_nobody_foresaw_is_a_failed_job(
    write: Write, toy_model: Path, task: Path, engine: Engine, tmp_path: Path
) -> None:
    outcome = predict_cohort(write(("a", "broken", "c")), toy_model, tmp_path / "validation", task=task, engine=engine)
    reason = "Unexpected internal error (ZeroDivisionError: two lines): please report it with its traceback."
    assert outcome.failures == {"broken": reason}
    assert scores(tmp_path / "validation") == {"a": 0.0, "broken": None, "c": 0.2}
    assert "raise ZeroDivisionError" in (tmp_path / "validation" / "predictions" / "failures.log").read_text()


SPY = '''
"""A model that is not what it seems: what it can reach is written down."""
import os
import socket
from pathlib import Path

from preop.grandchallenge.runtime import run_algorithm

def load_model(folder, algorithm):
    try:
        (folder / "changed").touch()
    except OSError:
        return None
    raise ValueError("model")


def predict(case, model):
    reached = []
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.connect(("192.0.2.1", 9))
        reached.append("network")
    except OSError:
        pass
    try:
        (case.image_paths["scan"].parent / "more").touch()
        reached.append("input")
    except OSError:
        pass
    if reached:
        raise ValueError(" ".join(reached))
    scan = case.image("scan")
    return {
        "score": float(scan.voxels.mean()) if os.environ["PREOP_API_METHOD"] == "invoke" else 1.0,
        "regions": scan.with_voxels((scan.voxels > 0).astype("uint8")),
        "heat": scan.with_voxels(scan.voxels.astype("float32")),
    }


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
'''


def test_a_model_of_others_runs_apart_as_a_program_that_is_started_once(
    write: Write, toy: Algorithm, toy_model: Path, task: Path, engine: Engine, tmp_path: Path
) -> None:
    if not engine.own_network:
        pytest.skip("this machine allows no namespaces")
    (toy.folder / "inference.py").write_text(SPY)
    assert predict_cohort(write(("a", "b")), toy_model, tmp_path / "v", task=task, engine=engine).failures == {}
    assert scores(tmp_path / "v") == {"a": 0.0, "b": 0.1}
    assert sorted(path.name for path in toy_model.iterdir()) == ["model.json", "weights.json"]
    assert not list((tmp_path / "v").rglob(".partial-*"))


def test_a_model_that_does_not_load_ends_the_validation_before_the_first_patient(
    write: Write, toy: Algorithm, toy_model: Path, task: Path, engine: Engine, tmp_path: Path
) -> None:
    if not engine.own_network:
        pytest.skip("this machine allows no namespaces")
    inference = toy.folder / "inference.py"
    inference.write_text(
        inference.read_text().replace(
            "    return read_model_info",
            "    from preop.errors import InvalidModelError\n    raise InvalidModelError('Its weights are of another "
            "network.')\n    return read_model_info",
        )
    )
    with pytest.raises(InvalidModelError, match=r"did not start as a server: Its weights are of another network\."):
        predict_cohort(write(("a", "b")), toy_model, tmp_path / "v", task=task, engine=engine)
    assert not list((tmp_path / "v").glob("predictions/*/output"))


def test_without_namespaces_each_patient_is_a_program_of_its_own(
    write: Write, toy_model: Path, task: Path, tmp_path: Path
) -> None:
    outcome = predict_cohort(write(("a", "broken")), toy_model, tmp_path / "v", task=task, engine=ProcessEngine(()))
    assert list(outcome.failures) == ["broken"]
    assert outcome.log is not None
    assert "raise ZeroDivisionError" in outcome.log.read_text()
    assert scores(tmp_path / "v") == {"a": 0.0, "broken": None}


def test_centres_persons_and_what_the_task_names_go_into_the_ground_truth(
    write: Write, toy: Algorithm, task: Path, tmp_path: Path
) -> None:
    write()
    rows = "patient;scan;outcome;centre;group;reader;weight\na;0.mha;0;B;p;1;40\nb;1.mha;1;A;p;;60\nc;2.mha;1;A;;0;70\n"
    (tmp_path / "cohort.csv").write_text(rows)
    extra = 'subgroups = { weight = [50], sex = [] }\ncomparators = [{ name = "reader", column = "reader" }]\n'
    task.write_text(task.read_text() + extra)
    cohort = read_cohort(tmp_path / "cohort.csv", toy)
    write_ground_truth(cohort, reference_of(cohort, task), {name: name for name in "abc"}, tmp_path / "truth")
    read = read_task(tmp_path / "truth" / "task.toml")
    assert (read.subgroups, read.patient_column) == ({"centre": [], "weight": [50]}, "group")
    table = (tmp_path / "truth" / "reference.csv").read_text().splitlines()
    assert table[:2] == ["case,outcome,centre,weight,reader,group", "a,0,B,40,1,p"]
    found = evaluate([], tmp_path / "truth")["aggregates"]
    assert (found["patients"], found["comparisons"]["reader"]["cases"]) == (2, 2)
