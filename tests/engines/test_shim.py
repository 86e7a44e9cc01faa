"""The platform's own runner (sagemaker-shim) runs an algorithm in both ways, with a stand-in for its storage (moto)."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preop.cli import repository
from preop.engines.building import build_image
from preop.engines.choosing import find_engine
from preop.engines.comparison import compare_outputs, read_tolerance
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program, algorithm_program
from preop.engines.submissions import find_test_cases
from preop.errors import MissingToolError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.runtime import ApiMethod
from tests.conftest import ROOT, scan_of
from tests.engines import platform_runner
from tests.engines.platform_runner import Outcome, Storage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    if not platform_runner.PYTHON.exists():
        pytest.skip(platform_runner.MISSING)
    with platform_runner.storage() as found:
        yield found


def run(storage: Storage, algorithm: Algorithm, case: Path, model: Path, work: Path, method: ApiMethod) -> Outcome:
    """Let the runner run an algorithm on a case as the platform does, without a container."""
    job = f"{work.name}-{method}"
    for name in ("input", "output"):
        (work / name).mkdir(parents=True)
    # The runner has packages of its own: what the program imports from is told to the program alone.
    path = os.pathsep.join([str(ROOT / "shared/src"), str(algorithm.folder.parent)])
    entry_point = ["env", f"PYTHONPATH={path}", sys.executable, "-m", f"{algorithm.name}.inference"]
    told = platform_runner.environment(
        storage,
        job,
        method,
        entry_point,
        INPUT_PATH=str(work / "input"),
        OUTPUT_PATH=str(work / "output"),
        LINKED_INPUT_PARENT=str(work / "linked"),
        WRITABLE_DIRECTORIES="",
        POST_CLEAN_DIRECTORIES="",
        START_AND_HEALTH_TIMEOUT_SECONDS="60",
        HEALTH_CHECK_CALL_TIMEOUT_SECONDS="1",
    )
    environment = {
        "PATH": os.environ["PATH"],
        **told,
        "PREOP_API_METHOD": method,
        "PREOP_INPUT": str(work / "input"),
        "PREOP_OUTPUT": str(work / "output"),
        "PREOP_MODEL": str(model),
    }
    tasks = json.dumps([platform_runner.task(storage, job, case)])
    program = [str(platform_runner.PYTHON), "-m", "sagemaker_shim.cli", "invoke", "--tasks", tasks]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return platform_runner.outcome(storage, job, job)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("method", ["exec", "invoke"])
def test_a_case_goes_through_the_platforms_runner(
    storage: Storage, toy: Algorithm, toy_model: Path, lay_out: Callable[..., Path], tmp_path: Path, method: ApiMethod
) -> None:
    outcome = run(storage, toy, lay_out(toy, scan=scan_of()), toy_model, tmp_path / "good", method)
    assert outcome.return_code == 0, outcome.errors
    assert sorted(outcome.outputs) == ["images/heat/output.mha", "images/regions/output.mha", "score.json"]
    assert 0 <= json.loads(storage.get(f"out/good-{method}/score.json")) <= 1


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("method", ["exec", "invoke"])
def test_a_failure_ends_in_its_sentence_there_too(
    storage: Storage, toy: Algorithm, toy_model: Path, lay_out: Callable[..., Path], tmp_path: Path, method: ApiMethod
) -> None:
    case = lay_out(toy, scan=scan_of())
    (toy_model / "model.json").unlink()
    start = time.monotonic()
    outcome = run(storage, toy, case, toy_model, tmp_path / "bad", method)
    assert time.monotonic() - start < 50, "it waits out the time that the runner gives a server"
    assert (outcome.return_code, outcome.outputs) == (1, {})
    assert "There is no model in" in outcome.errors[-1]


@pytest.fixture(scope="module")
def engine() -> ContainerEngine:
    found = find_engine("auto")
    if not isinstance(found, ContainerEngine):
        pytest.skip("neither docker nor podman can run containers here")
    if not platform_runner.RUNNER.exists():
        pytest.skip(platform_runner.MISSING)
    return found


@pytest.fixture(scope="module", params=["exec", "invoke"])
def image(engine: ContainerEngine, request: pytest.FixtureRequest) -> Iterator[tuple[Program, ApiMethod]]:
    """The smallest image there is, built for one way of running under a tag of its own."""
    program = algorithm_program(repository.find_algorithm("sarcoma_lung_metastasis"))
    program = dataclasses.replace(program, version=f"{program.version}-{request.param}-{os.getpid()}")
    try:
        build_image(engine, program, api_method=request.param)
    except MissingToolError as error:
        pytest.skip(f"the image cannot be built here: {error}")
    yield program, request.param
    subprocess.run([*engine.command, "rmi", program.image], capture_output=True, check=False)


@pytest.mark.usefixtures("alone")
def test_an_image_goes_through_the_platforms_runner(
    storage: Storage, engine: ContainerEngine, image: tuple[Program, ApiMethod], tmp_path: Path
) -> None:
    program, method = image
    cases = {case.name: case for case in find_test_cases(program.folder)[:2]}
    inputs = {name: case.input for name, case in cases.items()}
    outcomes = platform_runner.run_image(engine, storage, program, inputs, program.folder / "model", method)
    for name, outcome in outcomes.items():
        assert outcome.return_code == 0, outcome.errors
        found = platform_runner.fetch(storage, outcome, tmp_path / name)
        assert compare_outputs(cases[name].expected, found, read_tolerance(program.folder / "test")) == []


@pytest.mark.usefixtures("alone")
def test_an_image_without_a_model_says_so_to_the_platform(
    storage: Storage, engine: ContainerEngine, image: tuple[Program, ApiMethod], tmp_path: Path
) -> None:
    program, method = image
    (case,) = find_test_cases(program.folder)[:1]
    outcomes = platform_runner.run_image(engine, storage, program, {case.name: case.input}, tmp_path, method)
    assert (outcomes[case.name].return_code, outcomes[case.name].outputs) == (1, {})
    assert "There is no model in" in outcomes[case.name].errors[-1]
