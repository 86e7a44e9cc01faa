"""The evaluation's side: jobs in any order, missing files, failed jobs, both names of a socket."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.predictions import job_item, read_predictions, write_predictions


@pytest.fixture
def submission(toy: Algorithm, tmp_path: Path) -> Path:
    jobs = [
        job_item(
            toy,
            pk,
            image_names={"scan": f"{name}.nii.gz"},
            values={"facts": {"age": 1}},
            error_message="No tumour." if pk == "c" else None,
        )
        for pk, name in (("b", "second"), ("a", "first"), ("c", "third"))
    ]
    write_predictions(tmp_path, jobs)
    for pk in "ab":
        (tmp_path / pk / "output").mkdir(parents=True)
    (tmp_path / "a" / "output" / "score.json").write_text("0.5")
    return tmp_path


def test_jobs_are_sorted_and_know_their_case(submission: Path) -> None:
    jobs = read_predictions(submission)
    assert [job.pk for job in jobs] == ["a", "b", "c"]
    assert [job.case_name("scan") for job in jobs] == ["first", "second", "third"]
    assert [job.succeeded for job in jobs] == [True, True, False]
    assert jobs[0].case_name("other") is None
    assert jobs[0].case_name("facts") == "{'age': 1}"


def test_an_output_is_read_from_the_folder_of_its_job(submission: Path) -> None:
    assert read_predictions(submission)[0].value("score") == 0.5


@pytest.mark.parametrize(
    ("number", "slug", "sentence"),
    [
        (1, "score", "score.json is missing in"),
        (2, "score", "The job c did not succeed"),
        (0, "other", "The job a has no output other"),
    ],
)
def test_what_is_not_there_is_told(submission: Path, number: int, slug: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        read_predictions(submission)[number].value(slug)


@pytest.mark.parametrize("kept", ["socket", "interface"])
def test_either_name_of_a_socket_is_enough(submission: Path, kept: str) -> None:
    path = submission / "predictions.json"
    jobs = json.loads(path.read_text())
    for part in (part for job in jobs for part in (*job["inputs"], *job["outputs"])):
        part.pop({"socket": "interface", "interface": "socket"}[kept])
    path.write_text(json.dumps(jobs))
    assert read_predictions(submission)[0].value("score") == 0.5


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "is not a list of jobs"),
        ("[{}]", "a job without a name"),
        ('[{"pk": "../x"}]', "expected a name without a path"),
        ('[{"pk": "x"}, {"pk": "x"}]', "names a job twice"),
        ('[{"pk": "a/b"}]', "expected a name without a path"),
        ('[{"pk": "x", "inputs": [{}]}]', "an input or output without a slug"),
        ('[{"pk": "x", "inputs": 7}]', "has inputs 7; expected a list"),
    ],
)
def test_a_broken_list_of_jobs_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "predictions.json").write_text(content)
    with pytest.raises(InvalidInputError, match=sentence):
        read_predictions(tmp_path)


def test_an_output_never_leads_out_of_its_folder(submission: Path) -> None:
    path = submission / "predictions.json"
    path.write_text(path.read_text().replace("score.json", "../../secret.json"))
    with pytest.raises(InvalidInputError, match="leads out of its folder"):
        read_predictions(submission)[0].value("score")


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (7, "has outputs 7; expected a list"),
        ([{}], "an input or output without a slug"),
        ([{"socket": {"slug": "score", "relative_path": 7}}], "relative_path 7 for score; expected text"),
    ],
)
def test_a_job_whose_outputs_are_described_wrongly_spoils_no_other(
    submission: Path, outputs: object, sentence: str
) -> None:
    path = submission / "predictions.json"
    jobs = json.loads(path.read_text())
    next(job for job in jobs if job["pk"] == "b")["outputs"] = outputs
    path.write_text(json.dumps(jobs))
    first, second, _ = read_predictions(submission)
    assert first.value("score") == 0.5
    with pytest.raises(InvalidInputError, match=sentence):
        second.value("score")


def test_a_failed_job_keeps_its_reason(submission: Path) -> None:
    assert [job.error_message for job in read_predictions(submission)] == ["", "", "No tumour."]


def put_link_to_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_large_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20_000_000_000)  # sparse: no disk is used


def put_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("put", "sentence"),
    [
        (put_link_to_endless_device, "is a link"),
        (put_pipe, "is not a regular file"),
        (put_large_file, "holds 20,000 MB; expected at most"),
        (put_folder, "is not a regular file"),
    ],
)
def test_an_output_that_is_no_small_regular_file_is_refused_at_once(
    submission: Path, put: Callable[[Path], None], sentence: str
) -> None:
    put(submission / "b" / "output" / "score.json")
    with pytest.raises(InvalidInputError, match=sentence):
        read_predictions(submission)[1].value("score")


def test_the_outputs_of_another_job_are_not_borrowed_by_a_link(submission: Path) -> None:
    (submission / "b" / "output").rmdir()
    (submission / "b" / "output").symlink_to(submission / "a" / "output")
    with pytest.raises(InvalidInputError, match="is a link"):
        read_predictions(submission)[1].value("score")
    (submission / "b" / "output").unlink()
    (submission / "b").rmdir()
    (submission / "b").symlink_to(submission / "a")
    with pytest.raises(InvalidInputError, match="is a link"):
        read_predictions(submission)[1].value("score")


@pytest.mark.parametrize(
    "ending", [".svs", ".ndpi", ".mrxs", ".ome.tiff", ".OME.TIF", ".tif", ".nii.gz", ".mha", ".isyntax", ""]
)
def test_a_case_is_named_without_the_ending_of_any_image(toy: Algorithm, tmp_path: Path, ending: str) -> None:
    image_names = {"scan": f"upload/patient.7{ending}"}
    write_predictions(tmp_path, [job_item(toy, "a", image_names=image_names, values={"facts": {"age": 1}})])
    assert read_predictions(tmp_path)[0].case_name("scan") == "patient.7"
