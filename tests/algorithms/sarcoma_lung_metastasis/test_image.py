"""The sarcoma algorithm's own image as a server, in a container: the model stays loaded between two cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from preop.engines.building import build_image
from preop.engines.choosing import find_engine
from preop.engines.comparison import compare_outputs, read_tolerance
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program, algorithm_program
from preop.engines.serving import serve
from preop.errors import MissingToolError
from preop.grandchallenge.algorithm import read_algorithm
from tests.conftest import ROOT

FOLDER = ROOT / "algorithms" / "sarcoma_lung_metastasis"
CASES = FOLDER / "test"


@pytest.fixture
def program() -> Program:
    return algorithm_program(read_algorithm(FOLDER))


@pytest.fixture
def container(program: Program) -> ContainerEngine:
    """Docker or podman with the image, as ./test.sh builds it too."""
    engine = find_engine("auto")
    if not isinstance(engine, ContainerEngine):
        pytest.skip("neither docker nor podman can run containers here")
    try:
        build_image(engine, program)
    except MissingToolError as error:
        pytest.skip(f"the image cannot be built here: {error}")
    return engine


def test_a_server_in_a_container_gives_each_case_its_expected_outputs(container, program, tmp_path: Path) -> None:
    with serve(container, program, model=FOLDER / "model", beside=tmp_path) as server:
        for case in ("ct", "t1_clinical"):
            result = server.invoke(input=CASES / case / "input", output=tmp_path / case)
            assert result.error is None
            assert compare_outputs(CASES / case / "expected", tmp_path / case, read_tolerance(CASES)) == []
