"""Training on simulated and on the real patients, from the table to a model that runs."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from preop.cohort import predict_cohort, read_cohort
from preop.engines.base import Engine
from preop.engines.choosing import find_engine
from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.predictions import read_predictions
from preop.tabular import Classifier, FeatureTable, PipelineSettings
from sarcoma_lung_metastasis import training
from sarcoma_lung_metastasis.features import scan_of
from sarcoma_lung_metastasis.model import load_model
from sarcoma_lung_metastasis.simulation import simulate
from sarcoma_lung_metastasis.training import (
    SUV_MAX_AND_CLINICAL,
    Settings,
    feature_table,
    fit,
    measure_tumours,
    question,
)
from tests.conftest import ROOT, one_process

ALGORITHM = read_algorithm(ROOT / "algorithms" / "sarcoma_lung_metastasis")
QUICK = Settings(splits=2, permutations=39, perturbations=1, pipeline=PipelineSettings(max_features=(3,)))
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_this_process")]
TASK = ROOT / "evaluation" / "ground_truth" / "sarcoma_lung_metastasis" / "task.toml"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of 24 small simulated patients."""
    folder = tmp_path_factory.mktemp("cohort")
    with one_process():
        simulate(24, 4, folder, small=True)  # of the first seeds, one where every combination of scans can be learned
    return folder / "cohort.csv"


@pytest.fixture
def engine() -> Engine:
    """What runs the algorithm here without any image."""
    return find_engine("process")


@pytest.fixture(scope="module")
def trained(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    with one_process():
        fit(read_cohort(simulated, ALGORITHM), folder, tmp_path_factory.mktemp("report") / "r", QUICK)
    return folder


def test_a_trained_model_loads_and_says_that_its_patients_are_simulated(trained: Path) -> None:
    info = load_model(trained, ALGORITHM).info
    assert info.training_data.simulated
    assert info.training_data.patients == 24
    for figures in info.validation.models.values():
        assert 0 < figures.events < figures.patients <= 24
        assert figures.auc is not None


def test_the_simple_model_takes_volume_suv_max_and_clinical_information_and_nothing_else(simulated: Path) -> None:
    measured = ["ct_log_volume_ml", "ct_stat_mean", "pet_log_volume_ml", "pet_stat_max", "pet_stat_mean", "age_years"]
    outcome = np.arange(24) % 2
    table = FeatureTable.of(pd.DataFrame(np.random.default_rng(0).normal(size=(24, 6)), columns=measured), outcome)
    asked = question(read_cohort(simulated, ALGORITHM), table, simple=True)
    assert asked.columns("CT + PET + clinical") == ["ct_log_volume_ml", "pet_stat_max", "age_years"]
    assert asked.columns(SUV_MAX_AND_CLINICAL) == ["pet_stat_max", "age_years"]
    assert asked.columns("PET volume") == ["pet_log_volume_ml"]
    assert set(asked.baselines) == {"CT volume", "PET volume", "SUVmax", "clinical", SUV_MAX_AND_CLINICAL}
    assert "pet_stat_mean" in question(read_cohort(simulated, ALGORITHM), table).columns("PET")


def test_a_combination_is_asked_for_where_enough_patients_had_all_of_its_scans(simulated: Path) -> None:
    scans = {"ct": range(24), "t2fs": range(10), "pet": range(16, 24), "t1c": range(3)}
    known = {
        f"{scan}_log_volume_ml": [1.0 if row in rows else np.nan for row in range(24)] for scan, rows in scans.items()
    }
    table = FeatureTable.of(pd.DataFrame(known), np.arange(24) % 2)
    asked = question(read_cohort(simulated, ALGORITHM), table)
    assert {*asked.models} - {*asked.baselines} == {"CT", "T2 FS MR", "PET", "CT + T2 FS MR", "CT + PET"}


def test_a_cohort_with_the_other_sequences_gives_models_on_them(trained: Path) -> None:
    model = load_model(trained, ALGORITHM)
    assert {"T2 FS MR", "T1 MR + T2 FS MR", "CE-T1 MR"} <= model.by_interface.keys()
    assert {"T2 FS MR", "T1 MR + T2 FS MR", "CE-T1 MR"} <= model.training_patients.keys()


def test_clinical_information_is_kept_in_each_model_that_takes_it(trained: Path) -> None:
    by_interface = load_model(trained, ALGORITHM).by_interface
    kept = [{term.name for term in logistic.terms if scan_of(term.name) is None} for logistic in by_interface.values()]
    assert {"age_years", "grade"} <= set.union(*kept)
    for key, clinical in zip(by_interface, kept, strict=True):
        assert bool(clinical) == key.endswith("clinical")


def test_the_truth_of_the_simulation_never_becomes_a_feature(trained: Path) -> None:
    names = {term.name for logistic in load_model(trained, ALGORITHM).by_interface.values() for term in logistic.terms}
    assert names
    assert not {name for name in names if "probability" in name or "centre" in name or "metastasis" in name}


def test_the_same_cohort_and_seed_give_the_same_weights_and_a_report(
    simulated: Path, trained: Path, tmp_path: Path
) -> None:
    fit(read_cohort(simulated, ALGORITHM), tmp_path / "model", tmp_path / "report", QUICK)
    assert (tmp_path / "model" / "weights.json").read_bytes() == (trained / "weights.json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "evidence.json",
        "made_with.json",
        "report.html",
    ]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Simulated patients" in page
    assert "TRIPOD" in page


def test_a_report_of_another_cohort_is_not_overwritten(simulated: Path, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "made_with.json").write_text("{}")
    with pytest.raises(InvalidOutputError, match="name another folder"):
        fit(read_cohort(simulated, ALGORITHM), tmp_path / "model", tmp_path / "report", QUICK)


def test_a_training_without_logistic_regression_is_refused_before_anything_is_measured(
    simulated: Path, tmp_path: Path
) -> None:
    forest = Settings(pipeline=PipelineSettings(classifiers=(Classifier.FOREST,)))
    with pytest.raises(InvalidInputError, match="is a logistic regression, and only those are explained"):
        fit(read_cohort(simulated, ALGORITHM), tmp_path / "model", tmp_path / "report", forest)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_explained_is_refused(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = FeatureTable.of(pd.DataFrame({"ct_log_volume_ml": np.arange(24.0)}), np.arange(24) % 2)
    forest = SimpleNamespace(logistic=None)  # where both are allowed, trees may win
    found = SimpleNamespace(models={"CT": forest}, evidence=SimpleNamespace(validation=None))
    monkeypatch.setattr(training, "measure_tumours", lambda *_: {})
    monkeypatch.setattr(training, "feature_table", lambda *_: measured)
    monkeypatch.setattr(training, "train_and_validate", lambda *_, **__: found)
    either = Settings(pipeline=PipelineSettings(classifiers=(Classifier.LOGISTIC, Classifier.FOREST)))
    with pytest.raises(InvalidInputError, match="The model on CT is not a logistic regression"):
        fit(read_cohort(simulated, ALGORITHM), tmp_path / "model", tmp_path / "report", either)
    assert not (tmp_path / "model").exists()


def test_validation_writes_a_submission_and_resumes(
    simulated: Path, trained: Path, tmp_path: Path, engine: Engine
) -> None:
    cohort = read_cohort(simulated, ALGORITHM)
    assert predict_cohort(cohort, trained, tmp_path / "v", task=TASK, engine=engine).failures == {}
    jobs = read_predictions(tmp_path / "v" / "predictions")
    assert len(jobs) == 24
    assert all(0 <= job.value("lung-metastasis-likelihood") <= 1 for job in jobs)
    assert "simulated = true" in (tmp_path / "v" / "ground_truth" / "task.toml").read_text()

    lost, kept = (job.folder / "lung-metastasis-likelihood.json" for job in jobs[:2])
    before = kept.stat().st_mtime_ns
    for path in sorted(lost.parent.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    predict_cohort(cohort, trained, tmp_path / "v", task=TASK, engine=engine)
    assert lost.is_file()
    assert kept.stat().st_mtime_ns == before


def test_validation_never_mixes_two_models(simulated: Path, trained: Path, tmp_path: Path, engine: Engine) -> None:
    whole = read_cohort(simulated, ALGORITHM)
    cohort = replace(whole, patients=whole.patients[:1])
    predict_cohort(cohort, trained, tmp_path / "v", task=TASK, engine=engine)
    with pytest.raises(InvalidOutputError, match="name another folder"):
        predict_cohort(cohort, ALGORITHM.folder / "model", tmp_path / "v", task=TASK, engine=engine)


def test_a_scan_that_nobody_outlined_is_refused_before_anything_is_measured(simulated: Path, tmp_path: Path) -> None:
    table = pd.read_csv(simulated, dtype=str)
    lacking = table.index[table["pet-image"].notna()][:4]
    table.loc[lacking, "pet-tumour-segmentation"] = ""
    path = simulated.with_name("not_outlined.csv")
    table.to_csv(path, index=False)
    with pytest.raises(
        InvalidInputError, match=r"4 patients of not_outlined.csv \(.*, \.\.\.\) have pet-image without pet-tum"
    ):
        fit(read_cohort(path, ALGORITHM), tmp_path / "m", tmp_path / "r", QUICK)
    assert not (tmp_path / "m").exists()


def test_an_outcome_other_than_0_and_1_is_refused(simulated: Path, tmp_path: Path) -> None:
    lines = simulated.read_text().splitlines()
    column = lines[0].split(",").index("lung_metastasis")
    cells = lines[1].split(",")
    cells[column] = "2"
    broken = simulated.with_name("broken.csv")
    broken.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    with pytest.raises(InvalidInputError, match="holds other values than 0 and 1"):
        feature_table(read_cohort(broken, ALGORITHM), {})


@pytest.fixture(scope="module")
def public(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = tmp_path_factory.mktemp("public") / "cohort.csv"
    command = [sys.executable, "-m", "sarcoma_lung_metastasis.public_cohort", data / "sarcoma", table]
    subprocess.run(command, cwd=ROOT / "algorithms", check=True)
    return table


def test_the_public_cohort_becomes_a_table(public: Path) -> None:
    cohort = read_cohort(public, ALGORITHM)
    assert len(cohort.patients) == 39
    assert sum(patient.reference_number("lung_metastasis") for patient in cohort.patients) == 15
    assert all(len(patient.case.interface) == 7 for patient in cohort.patients)
    assert cohort.source.licence == "CC BY 3.0"
    assert not cohort.source.simulated


@pytest.mark.slow
def test_the_shipped_model_is_the_one_that_this_code_trains(public: Path, tmp_path: Path) -> None:
    """The quantiles of each feature, stored in the model, are those that the code measures today."""
    cohort = read_cohort(public, ALGORITHM)
    measured = feature_table(cohort, measure_tumours(cohort, Settings(perturbations=0), tmp_path))
    table = pd.DataFrame(measured.values, columns=list(measured.columns))
    weights = json.loads((ALGORITHM.folder / "model" / "weights.json").read_text())
    terms = {term["name"]: term for model in weights.values() for term in model["terms"]}
    assert len(terms) > 5
    for name, term in terms.items():
        assert term["quantiles"][0] == pytest.approx(np.nanmin(table[name]), rel=1e-4)
        assert term["quantiles"][-1] == pytest.approx(np.nanmax(table[name]), rel=1e-4)


def test_a_folder_that_is_not_the_public_cohort_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sarcoma_lung_metastasis.public_cohort", tmp_path, tmp_path / "cohort.csv"]
    done = subprocess.run(command, cwd=ROOT / "algorithms", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no clinical.csv" in done.stderr


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("follow_up_days", "has no column follow_up_days"), ("lifelines", "needs lifelines, which is not installed")],
)
def test_what_is_missing_is_told_before_anything_is_measured(
    simulated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, sentence: str
) -> None:
    monkeypatch.setattr(training, "measure_tumours", lambda *_: pytest.fail("a patient was measured"))
    table = simulated
    if missing == "lifelines":
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    else:
        table = simulated.with_name("without.csv")
        pd.read_csv(simulated).drop(columns=missing).to_csv(table, index=False)
    timed = QUICK.model_copy(update={"time_to_event": True})
    with pytest.raises(PreopError, match=sentence):
        fit(read_cohort(table, ALGORITHM), tmp_path / "m", tmp_path / "r", timed)
