"""Whether what an algorithm needs is what its lock installs: ``python benchmarks/locks.py [LOCK ...]``.

Makes a new environment from each lock, with the library and nothing else, and runs a bundled case of each algorithm that
is installed by it. Takes minutes a lock, and gigabytes for those with torch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from preop.cli import repository
from preop.engines.comparison import compare_outputs, read_tolerance
from preop.engines.submissions import find_test_cases
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.roots import Roots


def main() -> None:
    """Try each lock that an algorithm names, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = sorted({study.requirements for study in repository.studies()})
    parser.add_argument("locks", nargs="*", metavar="LOCK", help=f"of {', '.join(known)}; all by default")
    failed = 0
    for lock in parser.parse_args().locks or known:
        with tempfile.TemporaryDirectory() as folder:
            python = make_environment(Path(folder) / "environment", lock)
            for study in (study for study in repository.studies() if study.requirements == lock):
                problems = run_first_case(python, study, Path(folder) / study.name)
                print(f"{lock}: {study.name}: {'; '.join(problems) or 'as expected'}", flush=True)
                failed += bool(problems)
    sys.exit(bool(failed))


def make_environment(folder: Path, lock: str) -> Path:
    """Install a lock and the library into a new environment; give its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    requirements = repository.ROOT / "requirements" / f"{lock}.txt"
    subprocess.run([*pip, "--no-deps", "--require-hashes", "--requirement", str(requirements)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(repository.ROOT)], check=True)
    return python


def run_first_case(python: Path, study: Algorithm, output: Path) -> list[str]:
    """Run the first bundled case with this Python, and tell how the outputs differ from the expected ones."""
    case = find_test_cases(study.folder)[0]
    output.mkdir()
    roots = Roots(input=case.input, output=output, model=study.folder / "model")
    done = subprocess.run(
        [str(python), "-m", f"{study.name}.inference"],
        env={"PATH": os.defpath, "PYTHONPATH": str(study.folder.parent), **roots.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return [done.stderr.strip().splitlines()[-1]]
    return compare_outputs(case.expected, output, read_tolerance(study.folder / "test"))


if __name__ == "__main__":
    main()
