"""What every study has to keep, as functions of its folder: for those of the checkout, and for one that was made just now."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tomllib
import typing
from collections.abc import Collection
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.tasks import BinaryTask, read_task
from preop.cli import main
from preop.engines.submissions import find_test_cases
from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.outputs import Output, check_outputs
from preop.study import (
    MODEL_FILE,
    ValidationFigures,
    inference_of,
    read_model_info,
    simulation_of,
    training_of,
)
from preop.toml import to_toml
from tests.conftest import one_process
from tests.study.entries import not_refused

SENTENCES = ("software", "validation.verdict", "validation.cautions")
"""Of every model: there may be fewer packages and fewer sentences."""


def check_types(algorithm: Algorithm) -> None:
    """The three modules have the functions of the contract, and say what they give."""
    inference, training, simulation = (of(algorithm) for of in (inference_of, training_of, simulation_of))
    assert typing.get_type_hints(inference.predict)["return"] == dict[str, Output]
    assert typing.get_type_hints(inference.load_model)["return"] not in {Any, type(None)}
    assert typing.get_type_hints(training.fit)["return"] is ValidationFigures
    assert typing.get_type_hints(training.fit)["settings"] is training.Settings
    assert typing.get_type_hints(simulation.simulate)["return"] is type(None)
    assert training.Settings.model_config["extra"] == "forbid"
    training.Settings()


def check_figures(algorithm: Algorithm) -> None:
    """The model that comes with the study loads, and says how well which of its models did on whom."""
    inference_of(algorithm).load_model(algorithm.folder / "model", algorithm)
    validation = read_model_info(algorithm.folder / "model", algorithm, None).validation
    assert any(not figures.baseline for figures in validation.models.values())
    assert all(sentence.endswith((".", "?", ":")) for sentence in validation.verdict)


def check_damage(algorithm: Algorithm, folder: Path, optional: Collection[str] = ()) -> None:
    """A model of which any one entry is missing or of another type is refused when it is loaded.

    Parameters
    ----------
    folder
        Where the model is copied to.
    optional
        Entries of this study whose elements may be fewer.
    """
    shutil.copytree(algorithm.folder / "model", folder)
    inference = inference_of(algorithm)
    found = not_refused(
        folder,
        MODEL_FILE,
        lambda damaged: inference.load_model(damaged, algorithm),
        optional=(*SENTENCES, *optional),
    )
    assert found == []


def check_interfaces(algorithm: Algorithm) -> None:
    """Each accepted combination of inputs is in a bundled case; others are tried on a case without what they lack.

    They either give valid outputs, or are refused because the model that comes with the study was not made for them.
    """
    cases = [read_case(algorithm, case.input) for case in find_test_cases(algorithm.folder)]
    covered = {frozenset(case.interface) for case in cases}
    uncovered = [each for each in algorithm.interfaces if frozenset(each) not in covered]
    inference = inference_of(algorithm)
    model = inference.load_model(algorithm.folder / "model", algorithm)
    for interface in uncovered:
        made_up = [slug for slug in interface if not algorithm.input(slug).kind.is_image]
        holding = [case for case in cases if set(interface) - set(made_up) <= set(case.interface)]
        assert holding, f"no bundled case holds {', '.join(interface)}"
        case = _with_only(holding[0], interface)
        case = replace(case, values={slug: case.values.get(slug, _made_up(case, slug)) for slug in made_up})
        try:
            check_outputs(inference.predict(case, model), algorithm, case)
        except InvalidModelError as error:
            assert str(error).endswith("."), error  # noqa: PT017 - most are no error


def check_card(algorithm: Algorithm) -> None:
    """The model card names every socket."""
    card = (algorithm.folder / "README.md").read_text(encoding="utf-8")
    assert [each.slug for each in (*algorithm.inputs, *algorithm.outputs) if f"`{each.slug}`" not in card] == []
    assert "not a medical device" in card.lower()


def check_evaluation(algorithm: Algorithm, ground_truth: Path) -> None:
    """The evaluation knows the study, what it predicts, and the truth of every bundled case."""
    task = read_task(ground_truth / "task.toml")
    outputs = {socket.slug for socket in algorithm.outputs}
    assert task.study == algorithm.name
    assert task.prediction_socket in outputs
    assert not isinstance(task, BinaryTask) or task.threshold_socket in outputs
    assert set(task.case_sockets) <= {socket.slug for socket in algorithm.inputs}
    with (ground_truth / "reference.csv").open(newline="", encoding="utf-8") as file:
        assert {row["case"] for row in csv.DictReader(file)} == {
            case.name for case in find_test_cases(algorithm.folder)
        }


def check_commands(algorithm: Algorithm, folder: Path) -> None:
    """A cohort is simulated and a model trained by the commands, with the smallest settings that the study states.

    ``test/smallest.toml`` holds them: ``patients``, ``seed``, and the table ``settings`` as for ``preop train``.
    """
    smallest = tomllib.loads((algorithm.folder / "test" / "smallest.toml").read_text(encoding="utf-8"))
    whom = (f"--patients={smallest['patients']}", f"--seed={smallest.get('seed', 0)}")
    command("simulate", str(algorithm.folder), *whom, f"--output={folder / 'cohort'}", "--small")
    settings = folder / "settings.toml"
    settings.write_text(_as_toml(smallest["settings"]))
    printed = command(
        "train",
        str(algorithm.folder),
        f"--cohort={folder / 'cohort' / 'cohort.csv'}",
        f"--model={folder / 'model'}",
        f"--settings={settings}",
    )
    assert "Validation inside the training cohort" in printed
    validation = read_model_info(folder / "model", algorithm, None).validation
    assert all(name.split()[0] in printed for name in validation.models)
    assert (folder / "model-report" / "report.html").is_file()
    inference_of(algorithm).load_model(folder / "model", algorithm)


def command(*words: str) -> str:
    """Run ``preop`` in this process, patients one after another, and give what it printed.

    Starting Python, torch and a process for each core takes longer than what is asked of them here.
    """
    printed, told = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, one_process(), redirect_stdout(printed), redirect_stderr(told):
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["preop", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code, f"preop {' '.join(words)}\n{printed.getvalue()}\n{told.getvalue()}"
    return printed.getvalue()


def _with_only(case: Case, slugs: Collection[str]) -> Case:
    return Case(
        case.algorithm,
        case.name,
        {slug: path for slug, path in case.image_paths.items() if slug in slugs},
        {slug: value for slug, value in case.values.items() if slug in slugs},
    )


def _made_up(case: Case, slug: str) -> dict[str, Any]:
    """Make a value: the first of what each of its items may be, or features of each label of a segmentation."""
    segmentation = case.algorithm.input(slug).features_of
    if segmentation is None:
        items = case.algorithm.json_schemas[slug]["properties"].items()
        return {name: each["enum"][0] for name, each in items if "enum" in each}
    drawn = case.image(segmentation).voxels
    labels = np.unique(drawn[drawn > 0]).astype(int).tolist()
    return {"labels": labels, "features": [[0.5, float(label)] for label in labels]}


def _as_toml(settings: dict[str, Any]) -> str:
    """Write settings whose entries are values, or tables of values."""
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    flat = {name: value for name, value in settings.items() if name not in tables}
    return to_toml(flat) + "".join(f"\n[{name}]\n{to_toml(table)}" for name, table in tables.items())
