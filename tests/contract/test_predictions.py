"""The evaluation's bad inputs: one bad output spoils one case, with its reason in metrics and page; the others are scored.

The spoilt job is that of patient_1 in the bundled binary case. What describes the inputs comes from the platform alone, so
there a mistake is one of the whole submission, and ends in one sentence.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.evaluate import main
from preop.grandchallenge.roots import Roots
from preop.report.evaluation import evaluation_page
from tests.conftest import ROOT
from tests.contract.studies import Ended, environment, limited
from tests.report.reading import Page

BUNDLED = ROOT / "evaluation" / "test" / "binary"
JOB, CASE = "job-1", "patient_1"
LIKELIHOOD = f"{JOB}/output/lung-metastasis-likelihood.json"
EXPLANATION = f"{JOB}/output/lung-metastasis-explanation.json"

Spoil = Callable[[Path], object]


def content(text: str, file: str = LIKELIHOOD) -> Spoil:
    return lambda root: (root / file).write_text(text)


def removed(root: Path) -> None:
    (root / LIKELIHOOD).unlink()


def as_link(target: str) -> Spoil:
    def spoil(root: Path) -> None:
        removed(root)
        (root / LIKELIHOOD).symlink_to(target)

    return spoil


def as_pipe(root: Path) -> None:
    removed(root)
    os.mkfifo(root / LIKELIHOOD)


def as_folder(root: Path) -> None:
    removed(root)
    (root / LIKELIHOOD).mkdir()


def with_outputs_of_another(root: Path) -> None:
    shutil.rmtree(root / JOB)
    (root / JOB).symlink_to(root / "job-2")


def job(edit: Callable[[dict[str, Any]], object]) -> Spoil:
    """Edit what the list says of the job."""

    def spoil(root: Path) -> None:
        path = root / "predictions.json"
        jobs = json.loads(path.read_text())
        edit(next(each for each in jobs if each["pk"] == JOB))
        path.write_text(json.dumps(jobs))

    return spoil


def output(**fields: Any) -> Spoil:
    """Change what the list says of the job's first output."""
    return job(lambda found: found["outputs"][0]["socket"].update(fields))


SPOILING_ONE: dict[str, tuple[Spoil, str, str]] = {
    "no output": (removed, "invalid", "is missing"),
    "an empty output": (content(""), "invalid", "is not valid JSON"),
    "no JSON": (content("hello"), "invalid", "is not valid JSON"),
    "no text": (lambda root: (root / LIKELIHOOD).write_bytes(b"\xff\xfe\x00"), "invalid", "is not valid JSON"),
    "NaN": (content("NaN"), "invalid", "NaN is not a JSON number"),
    "an infinite number": (content("1e999"), "invalid", "expected a number between 0 and 1"),
    "5,000 digits": (content("9" * 5000), "invalid", "is not valid JSON"),
    "100,000 brackets": (content("[" * 100_000), "invalid", "is not valid JSON"),
    "text": (content('"0.9"'), "invalid", "expected a number between 0 and 1"),
    "a list": (content("[0.9]"), "invalid", "expected a number between 0 and 1"),
    "true": (content("true"), "invalid", "expected a number between 0 and 1"),
    "nothing": (content("null"), "invalid", "expected a number between 0 and 1"),
    "more than 1": (content("1.0001"), "invalid", "expected a number between 0 and 1"),
    "less than 0": (content("-0.1"), "invalid", "expected a number between 0 and 1"),
    "20 GB": (lambda root: os.truncate(root / LIKELIHOOD, 20 * 10**9), "invalid", "20,000 MB"),
    "a link to /dev/zero": (as_link("/dev/zero"), "invalid", "is a link"),
    "a link to another job": (as_link("../../job-2/output/lung-metastasis-likelihood.json"), "invalid", "is a link"),
    "the folder of another job": (with_outputs_of_another, "invalid", "is a link"),
    "a named pipe": (as_pipe, "invalid", "is not a regular file"),
    "a folder": (as_folder, "invalid", "is not a regular file"),
    "no threshold": (content("{}", EXPLANATION), "invalid", "does not state 'decision_threshold'"),
    "a threshold in words": (content('{"decision_threshold": "half"}', EXPLANATION), "invalid", "expected a number"),
    "two thresholds": (
        content('{"decision_threshold": 0.1, "decision_threshold": 0.9}', EXPLANATION),
        "invalid",
        "'decision_threshold' twice",
    ),
    "an explanation that is a list": (content("[]", EXPLANATION), "invalid", "does not state"),
    "a number for a path": (output(relative_path=5), "invalid", "expected text"),
    "a list for a path": (output(relative_path=["x"]), "invalid", "expected text"),
    "a path that leads out": (output(relative_path="../../job-2/output/x.json"), "invalid", "leads out"),
    "an absolute path, which is taken below the job": (output(relative_path="/etc/passwd"), "invalid", "is missing"),
    "a path with NUL": (output(relative_path="x\0"), "invalid", "no path can have"),
    "a path of 5,000 characters": (output(relative_path="x" * 5000), "invalid", "or too many"),
    "a path of half a surrogate": (output(relative_path="\ud800"), "invalid", "no path can have"),
    "a reason of half a surrogate": (
        job(lambda found: found.update(status="Failed", error_message="stopped at \ud800")),
        "failed",
        "stopped at ",
    ),
    "a number for a slug": (output(slug=5), "invalid", "without a slug"),
    "a number for the outputs": (job(lambda found: found.update(outputs=5)), "invalid", "expected a list"),
    "outputs that are text": (job(lambda found: found.update(outputs="x")), "invalid", "expected a list"),
    "an output that is a number": (job(lambda found: found["outputs"].append(5)), "invalid", "without a slug"),
    "no outputs": (job(lambda found: found.pop("outputs")), "invalid", "has no output"),
    "no status": (job(lambda found: found.pop("status")), "failed", "The algorithm failed on this case."),
    "a status that is a list": (job(lambda found: found.update(status=[])), "failed", "The algorithm failed"),
    "a failure with its reason": (
        job(lambda found: found.update(status="Failed", error_message="ct-image is not in HU.")),
        "failed",
        "ct-image is not in HU.",
    ),
    "a reason that is a list": (
        job(lambda found: found.update(status="Failed", error_message=[1])),
        "failed",
        "The algorithm failed on this case.",
    ),
}

SPOILING_ALL: dict[str, tuple[Spoil, str]] = {
    "no list": (lambda root: (root / "predictions.json").unlink(), "predictions.json is missing"),
    "an object": (content("{}", "predictions.json"), "is not a list of jobs"),
    "a list of numbers": (content("[5]", "predictions.json"), "a job without a name"),
    "a list cut off": (content('[{"pk": "a"', "predictions.json"), "is not valid JSON"),
    "a job without a name": (job(lambda found: found.pop("pk")), "a job without a name"),
    "a job called ..": (job(lambda found: found.update(pk="..")), "leads out"),
    "a job with a path": (job(lambda found: found.update(pk="a/b")), "expected a name without a path"),
    "a job with NUL": (job(lambda found: found.update(pk="a\0")), "no path can have"),
    "a job twice": (job(lambda found: found.update(pk="job-2")), "names a job twice"),
    "inputs that are a number": (job(lambda found: found.update(inputs=5)), "expected a list"),
    "a job of no case": (job(lambda found: found.update(inputs=[])), "none of the inputs that name its case"),
    "a case that is a list": (
        job(lambda found: found["inputs"][0].update(image=None, value=["x"])),
        "which reference.csv does not hold",
    ),
}


def evaluated(spoil: Spoil, folder: Path) -> Ended:
    shutil.copytree(BUNDLED / "input", folder / "input")
    spoil(folder / "input")
    (folder / "output").mkdir()
    printed = io.StringIO()
    roots = Roots(folder / "input", folder / "output", ground_truth=BUNDLED / "ground_truth")
    with (
        environment(roots),
        limited(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(printed),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Ended(int(ended.value.code or 0), printed.getvalue().splitlines(), folder / "output")


@pytest.mark.parametrize("name", SPOILING_ONE)
def test_a_bad_output_spoils_its_case_alone(name: str, tmp_path: Path) -> None:
    spoil, status, reason = SPOILING_ONE[name]
    ended = evaluated(spoil, tmp_path)
    assert ended.code == 0, ended.sentence
    metrics = json.loads((ended.output / "metrics.json").read_text())
    before = json.loads((BUNDLED / "expected" / "metrics.json").read_text())
    found, *others = metrics["results"]
    assert (found["case"], found["status"]) == (CASE, status)
    assert reason in found["reason"]
    assert found["scored_as"] == 1 - found["reference"]
    assert others == before["results"][1:]
    evaluation_page(metrics, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert any(row[0] == CASE and reason in row[3] for row in page.rows)


@pytest.mark.parametrize("name", SPOILING_ALL)
def test_a_list_of_jobs_that_cannot_be_read_ends_in_one_sentence(name: str, tmp_path: Path) -> None:
    spoil, reason = SPOILING_ALL[name]
    ended = evaluated(spoil, tmp_path)
    assert ended.code == 1
    assert reason in ended.sentence
    assert "Unexpected internal error" not in ended.sentence
    assert not ended.left
