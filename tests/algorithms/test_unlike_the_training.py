"""Models that were trained on simulated patients say so of every real scan: it is unlike those of the training."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import read_case
from preop.likeness import Reference, read_references
from preop.study import read_model_info
from tests.conftest import ROOT

STUDIES = {
    "bladder_lymph_nodes": "scan",
    "liver_growth_pattern": "scan",
    "lung_nodal_stage": "scan",
    "primary_growth_pattern": "slide",
}
"""Those whose shipped model was trained on simulated patients, and the name of the reference."""


@cache
def benchmark() -> ModuleType:
    specification = importlib.util.spec_from_file_location("distribution", ROOT / "benchmarks" / "distribution.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["distribution"] = module
    specification.loader.exec_module(module)
    return module


def study(name: str) -> Algorithm:
    return read_algorithm(ROOT / "algorithms" / name)


def reference(name: str) -> Reference:
    model = study(name).folder / "model"
    assert read_model_info(model, study(name), None).training_data.simulated
    return read_references(model, [STUDIES[name]])[STUDIES[name]]


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_real_scan_is_unlike_simulated_ones(name: str, data: Path, tmp_path: Path) -> None:
    found = {each: reference(name).compare(row) for each, row in benchmark().REAL[name](data, tmp_path).items()}
    assert found
    assert [each for each, likeness in found.items() if likeness.is_like] == []
    assert all("unlike those of the training patients" in likeness.limits[0] for likeness in found.values())


@pytest.mark.parametrize("name", ["bladder_lymph_nodes", "liver_growth_pattern"])
def test_the_explanation_holds_the_distance_and_the_verdict_agrees_with_it(name: str) -> None:
    algorithm = study(name)
    case = read_case(algorithm, next(iter(sorted((algorithm.folder / "test").glob("*/input")))))
    inference = import_module(f"{name}.inference")
    outputs = inference.predict(case, inference.load_model(algorithm.folder / "model", algorithm))
    explanation = next(each for each in outputs.values() if isinstance(each, dict) and "assessable" in each)
    likeness = explanation["likeness_to_training"]
    assert likeness["like_training_patients"] is (likeness["distance"] <= likeness["limit"])
    said = any("unlike those of the training patients" in reason for reason in explanation["assessable_reasons"])
    assert said is not likeness["like_training_patients"]
    assert explanation["assessable"] in (
        {"yes", "limited"} if likeness["like_training_patients"] else {"limited", "no"}
    )
