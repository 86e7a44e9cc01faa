"""The bundled cases by the platform's own runner, inside the images: ``python benchmarks/platform_runner.py [ALGORITHM ...]``.

Builds the image of each algorithm for both ways of running (``exec`` and ``invoke``), under tags of their own, and lets
sagemaker-shim run the first cases in one container each: it takes inputs and model (the archive that is uploaded) from a
stand-in for S3, and puts the outputs there, which are compared with the expected ones. Needs docker or podman, and
``requirements/apart.sh shim``. Exit code 1 on any difference.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parents[1]))

from preop.cli import repository
from preop.engines.building import build_image
from preop.engines.choosing import find_engine
from preop.engines.comparison import compare_outputs, read_tolerance
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program, algorithm_program
from preop.engines.submissions import find_test_cases
from preop.grandchallenge.runtime import ApiMethod
from tests.conftest import platforms_port
from tests.engines import platform_runner
from tests.engines.platform_runner import Storage

AS_EXPECTED = "as expected"


def main() -> None:
    """Run all, and print a row for each case at the end, after all that the builds say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithms", nargs="*", metavar="ALGORITHM", help="all by default")
    parser.add_argument("--cases", type=int, default=2, help="how many of each algorithm's cases; default %(default)s")
    asked = parser.parse_args()
    engine = find_engine()
    if not isinstance(engine, ContainerEngine):
        sys.exit("No container engine works here.")
    if not platform_runner.RUNNER.exists():
        sys.exit(platform_runner.MISSING)
    studies = [*map(repository.find_algorithm, asked.algorithms)] or repository.studies()
    rows = []
    with platforms_port(), platform_runner.storage() as place:
        for study in studies:
            for method in get_args(ApiMethod):
                rows += run_one(engine, place, algorithm_program(study), method, asked.cases)
    print("| algorithm | way | case | seconds | outputs | |\n| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print("|", " | ".join(row), "|")
    sys.exit(any(row[-1] != AS_EXPECTED for row in rows))


def run_one(
    engine: ContainerEngine, place: Storage, program: Program, method: ApiMethod, count: int
) -> list[tuple[str, ...]]:
    """Run the first cases of one algorithm in one way; give a row for each."""
    program = dataclasses.replace(program, version=f"{program.version}-platform-{method}")
    build_image(engine, program, api_method=method)
    cases = {case.name: case for case in find_test_cases(program.folder)[:count]}
    inputs = {name: case.input for name, case in cases.items()}
    try:
        outcomes = platform_runner.run_image(engine, place, program, inputs, program.folder / "model", method)
    finally:
        subprocess.run([*engine.command, "rmi", program.image], capture_output=True, check=False)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, found in outcomes.items():
            if found.return_code:
                problems = found.errors[-1:] or ["the program said nothing"]
            else:
                fetched = platform_runner.fetch(place, found, Path(folder) / name)
                problems = compare_outputs(cases[name].expected, fetched, read_tolerance(program.folder / "test"))
            took = "" if found.seconds is None else f"{found.seconds:.1f}"
            verdict = "; ".join(problems).strip() or AS_EXPECTED
            rows.append((program.name, method, name, took, str(len(found.outputs)), verdict))
    return rows


if __name__ == "__main__":
    main()
