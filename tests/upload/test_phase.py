"""A challenge pack holds what a phase of the platform takes, and the evaluation can score by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from preop.cli.commands import app
from preop.cohort import read_cohort
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm, with_stand_ins
from preop.grandchallenge.cases import item_of
from preop.upload import only_named, write_pack
from tests.conftest import ROOT

TASK = ROOT / "evaluation/ground_truth/sarcoma_lung_metastasis/task.toml"
STAND_INS = '[ct-image]\nslug = "limb-ct"\n\n[lung-metastasis-likelihood]\nslug = "risk"\nrelative_path = "risk.json"\n'


@pytest.fixture
def sarcoma(tmp_path: Path) -> Algorithm:
    """The study with sockets of the platform in place of two of its own."""
    path = tmp_path / "sockets.toml"
    path.write_text(STAND_INS)
    return with_stand_ins(read_algorithm(ROOT / "algorithms/sarcoma_lung_metastasis"), path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Eight patients, the last two with metastases."""
    (tmp_path / "scan.mha").touch()
    rows = [f"p{number},scan.mha,scan.mha,{int(number > 5)}" for number in range(8)]
    path = tmp_path / "cohort.csv"
    path.write_text("\n".join(["patient,ct-image,ct-tumour-segmentation,lung_metastasis", *rows]) + "\n")
    (tmp_path / "cohort.toml").write_text('simulated = true\ndescription = "Simulated patients."\n')
    return path


def test_a_pack_holds_all_that_a_phase_takes(sarcoma: Algorithm, table: Path, tmp_path: Path) -> None:
    page = write_pack("limb-2027", read_cohort(table, sarcoma), TASK, tmp_path / "pack", debug=3)
    pack = page.parent
    assert (pack / "debug/patients.txt").read_text().split() == ["p0", "p1", "p6"]  # both outcomes are there
    assert len((pack / "final/ground_truth/reference.csv").read_text().splitlines()) == 9
    with tarfile.open(pack / "debug/ground_truth.tar.gz") as tar:
        assert sorted(tar.getnames()) == ["reference.csv", "task.toml"]
    task = tomllib.loads((pack / "final/ground_truth/task.toml").read_text())
    assert task["case_sockets"] == ["limb-ct", "t1-mri", "pet-image"]
    assert task["prediction_socket"] == "risk"
    settings = json.loads((pack / "debug/phase.json").read_text())
    assert settings["typed by you"]["score_jsonpath"] == "aggregates.auc.value"
    assert settings["asked of support"]["algorithm_time_limit"] == sarcoma.time_limit_minutes * 60  # seconds, there
    asked = (pack / "sockets.txt").read_text()
    assert "limb-ct (in place of ct-image)" in asked
    assert asked.count("inputs: ") == 1  # what these patients have, though the core of the study is three interfaces
    assert "1. inputs: limb-ct, ct-tumour-segmentation\n" in asked
    said = page.read_text()
    assert "Performance on simulated patients is not clinical performance." in said
    assert f"--cohort {table} --archive limb-2027-debug-dataset --only {pack / 'debug/patients.txt'} --send" in said
    assert len(only_named(read_cohort(table, sarcoma), pack / "debug/patients.txt").patients) == 3


def test_the_columns_of_the_leaderboard_are_as_the_platform_takes_them(
    sarcoma: Algorithm, table: Path, tmp_path: Path
) -> None:
    pack = write_pack("limb", read_cohort(table, sarcoma), TASK, tmp_path / "pack", debug=3).parent
    columns = json.loads((pack / "final/phase.json").read_text())["typed by you"]["extra_results_columns"]
    assert len(columns) == 2
    for (
        column
    ) in columns:  # EXTRA_RESULT_COLUMNS_SCHEMA of the platform: these keys are required, and few others allowed
        assert column.keys() == {"title", "path", "order"}
        assert column["order"] in {"asc", "desc"}


def test_the_evaluation_scores_a_submission_by_the_pack(sarcoma: Algorithm, table: Path, tmp_path: Path) -> None:
    pack = write_pack("limb", read_cohort(table, sarcoma), TASK, tmp_path / "pack", debug=3).parent
    predictions = tmp_path / "predictions"
    jobs = []
    for name, likelihood in (("p0", 0.1), ("p1", 0.7), ("p6", 0.8)):
        output = predictions / name / "output"
        output.mkdir(parents=True)
        (output / "risk.json").write_text(str(likelihood))
        (output / "explanation.json").write_text('{"decision_threshold": 0.5}')
        scan = item_of(sarcoma, "ct-image", image_name=f"{name}.mha")
        scan["socket"] = {**scan["socket"], "slug": "limb-ct"}
        outputs = [
            {"socket": {"slug": slug, "relative_path": path}}
            for slug, path in (("risk", "risk.json"), ("lung-metastasis-explanation", "explanation.json"))
        ]
        jobs.append({"pk": name, "status": "Succeeded", "inputs": [scan], "outputs": outputs})
    (predictions / "predictions.json").write_text(json.dumps(jobs))
    (tmp_path / "out").mkdir()
    roots = {"INPUT": predictions, "OUTPUT": tmp_path / "out", "GROUND_TRUTH": pack / "debug/ground_truth"}
    environment = {
        **os.environ,
        **{f"PREOP_{name}": str(path) for name, path in roots.items()},
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-m", "evaluation.evaluate"], env=environment, check=True, capture_output=True)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    shown = json.loads((pack / "debug/phase.json").read_text())["typed by you"]
    for path in (shown["score_jsonpath"], *(column["path"] for column in shown["extra_results_columns"])):
        found = metrics
        for key in path.split("."):
            found = found[key]
        assert isinstance(found, float), path
    assert metrics["aggregates"]["auc"]["value"] == 1


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda text: text.replace("p3,scan.mha,scan.mha,0", "p3,scan.mha,scan.mha,"), "no lung_metastasis for p3"),
        (lambda text: "\n".join(text.splitlines()[:1] + text.splitlines()[-2:]), "expected more patients"),
    ],
)
def test_a_cohort_that_makes_no_challenge_is_refused(
    sarcoma: Algorithm, table: Path, tmp_path: Path, spoil: object, sentence: str
) -> None:
    table.write_text(spoil(table.read_text()))  # type: ignore[operator]
    with pytest.raises(InvalidInputError, match=sentence):
        write_pack("limb", read_cohort(table, sarcoma), TASK, tmp_path / "pack", debug=3)
    assert not (tmp_path / "pack").exists()


def test_a_name_that_no_challenge_can_have_is_refused(sarcoma: Algorithm, table: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be called 'limb_2027'; expected letters and digits"):
        write_pack("limb_2027", read_cohort(table, sarcoma), TASK, tmp_path / "pack", debug=3)


def test_the_command_makes_it_and_overwrites_nothing(table: Path, tmp_path: Path) -> None:
    words = ["new", "limb", "--phase", "sarcoma_lung_metastasis", "--output", str(tmp_path / "pack"), "--debug", "3"]
    refused = CliRunner().invoke(app, words)
    assert "A challenge needs its patients: --cohort" in str(refused.exception)
    done = CliRunner().invoke(app, [*words, "--cohort", str(table)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "pack/README.md").is_file()
    again = CliRunner().invoke(app, [*words, "--cohort", str(table)])
    assert "exists already: name a new folder" in str(again.exception)


def test_a_task_without_a_score_to_rank_by_is_refused(sarcoma: Algorithm, table: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.toml"
    task.write_text(TASK.read_text().replace('kind = "binary"', 'kind = "count"'))
    with pytest.raises(InvalidInputError, match="is of the kind count; packs are made for binary and ordinal"):
        write_pack("limb", read_cohort(table, sarcoma), task, tmp_path / "pack", debug=3)


def test_names_of_nobody_are_refused(sarcoma: Algorithm, table: Path, tmp_path: Path) -> None:
    cohort = read_cohort(table, sarcoma)
    names = tmp_path / "names.txt"
    for text, sentence in (("p0\nx\n", "names x; expected patients of cohort.csv"), ("\n", "names nobody")):
        names.write_text(text)
        with pytest.raises(InvalidInputError, match=sentence):
            only_named(cohort, names)
