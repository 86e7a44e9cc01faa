"""Same input, same model, same bytes out: whatever the number of cores, what ran before, and how Python hashes.

What differs between processors is in each study's ``tolerance.toml``; trainings are repeated by the tests of each study.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies
from tests.conftest import ROOT, smallest_first

pytestmark = pytest.mark.slow

STUDIES = pytest.mark.parametrize("study", find_studies(ROOT / "algorithms"), ids=lambda study: study.name)

PREDICT = """
import sys
from pathlib import Path
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import read_case
from preop.grandchallenge.outputs import write_outputs
from preop.study import inference_of

if __name__ == "__main__":
    algorithm = read_algorithm(Path(sys.argv[1]))
    inference = inference_of(algorithm)
    model = inference.load_model(algorithm.folder / "model", algorithm)
    for name in sys.argv[3:]:
        case = read_case(algorithm, algorithm.folder / "test" / name / "input")
        output = Path(sys.argv[2]) / name
        output.mkdir()
        write_outputs(inference.predict(case, model), case, output)
"""
SIMULATE = """
import sys
from pathlib import Path
from preop.grandchallenge.algorithm import read_algorithm
from preop.study import simulation_of

if __name__ == "__main__":
    simulation_of(read_algorithm(Path(sys.argv[1]))).simulate(2, 5, Path(sys.argv[2]), lambda *_: None, small=True)
"""


def run(code: str, study: Algorithm, output: Path, *words: str, threads: int) -> None:
    """Run a script as on a machine with so many cores, with a hash seed of its own."""
    output.mkdir()
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(variables, str(threads)),
        "PYTHONHASHSEED": str(threads),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    script = output.with_suffix(".py")
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), str(study.folder), str(output), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@STUDIES
def test_outputs_depend_on_neither_cores_nor_the_case_before_nor_hashes(study: Algorithm, tmp_path: Path) -> None:
    first, second = (case.name for case in smallest_first(study)[:2])
    run(PREDICT, study, tmp_path / "alone", first, threads=1)
    run(PREDICT, study, tmp_path / "after", second, first, threads=3)
    assert digests(tmp_path / "alone" / first) == digests(tmp_path / "after" / first)


@STUDIES
def test_simulated_patients_depend_on_neither_cores_nor_hashes(study: Algorithm, tmp_path: Path) -> None:
    for threads in (1, 3):
        run(SIMULATE, study, tmp_path / f"{threads}", threads=threads)
    found = digests(tmp_path / "1")
    assert "cohort.csv" in found
    assert found == digests(tmp_path / "3")
