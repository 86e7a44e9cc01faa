"""The house stands on its floors: a package imports only from the floors below its own."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "shared" / "src" / "preop"
TEMPLATE = LIBRARY / "study" / "template"
FLOORS = {
    "atomic": 0,
    "errors": 0,
    "progress": 0,
    "wording": 0,
    "folders": 2,
    "tables": 1,
    "toml": 1,
    "repeatable": 1,
    "weights": 1,
    "stored_features": 1,
    "portable": 1,
    "imaging": 1,
    "statistics": 1,
    "counts": 1,
    "grandchallenge": 3,
    "radiomics": 3,
    "segmentation": 3,
    "slides": 3,
    "mil": 3,
    "staging": 3,
    "anatomy": 4,
    "dicom": 4,
    "engines": 4,
    "evidence": 4,
    "study": 5,
    "tabular": 5,
    "cohort": 6,
    "likeness": 6,
    "simulation": 7,
    "report": 7,
    "review": 8,
    "upload": 8,
    "cli": 9,
    "api": 10,
}
PACKAGES = sorted(path.stem for path in LIBRARY.iterdir() if path.is_dir() or path.suffix == ".py")
STUDIES = sorted(path.name for path in (ROOT / "algorithms").iterdir() if (path / "algorithm.toml").is_file())


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def library_imports(folder_or_file: Path) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder_or_file.rglob("*.py")) if folder_or_file.is_dir() else [folder_or_file]:
        for name in imports_of(file):
            parts = name.split(".")
            # What lies in the template is a study, and stands on the roof.
            if parts[0] == "preop" and len(parts) > 1 and TEMPLATE not in file.parents:
                yield file, parts[1]


@pytest.mark.parametrize("package", [name for name in PACKAGES if name not in {"__init__", "__pycache__", "py"}])
def test_a_package_imports_only_from_lower_floors(package: str) -> None:
    folder = LIBRARY / package
    place = folder if folder.is_dir() else folder.with_suffix(".py")
    assert package in FLOORS, f"{package} has no floor: give it one in house order"
    too_high = [
        f"{file.relative_to(ROOT)} imports preop.{other}"
        for file, other in library_imports(place)
        if other != package and FLOORS[other] >= FLOORS[package]
    ]
    assert not too_high


def test_every_floor_is_that_of_a_package() -> None:
    assert {*FLOORS} <= {*PACKAGES}


@pytest.mark.parametrize("study", STUDIES)
def test_an_algorithm_imports_no_other_algorithm(study: str) -> None:
    others = {*STUDIES, "evaluation"} - {study}
    files = (ROOT / "algorithms" / study).rglob("*.py")
    assert not [(file.name, name) for file in files for name in imports_of(file) if name.split(".")[0] in others]


def test_the_evaluation_imports_no_algorithm() -> None:
    files = (ROOT / "evaluation").rglob("*.py")
    assert not [(file.name, name) for file in files for name in imports_of(file) if name.split(".")[0] in STUDIES]


def test_pages_compute_no_statistics() -> None:
    """A figure that a page shows comes from the evidence; a page takes types from the statistics, and their wording."""
    functions = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (LIBRARY / "report").rglob("*.py")
        for name in imports_of(file)
        if name.startswith("preop.statistics.")
        and not name.rpartition(".")[2][0].isupper()
        and not name.endswith("_in_words")
    ]
    assert not functions


# Differentiable through and through: who imports this wants torch.
OF_TORCH = {"counts"}


@pytest.mark.parametrize(
    "package", [name for name in PACKAGES if (LIBRARY / name / "__init__.py").is_file() and name not in OF_TORCH]
)
def test_importing_the_library_is_light(package: str) -> None:
    heavy = ("torch", "SimpleITK", "sklearn", "statsmodels", "altair", "numba", "lifelines", "optuna", "skops")
    code = f"import sys, preop.{package}; print(*(name for name in {heavy!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded


@pytest.mark.parametrize("study", STUDIES)
def test_a_container_loads_neither_pages_nor_cohorts_before_its_case(study: str) -> None:
    code = (
        f"import sys, {study}.inference; print(*(name for name in ('jinja2', 'preop.cohort') if name in sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "algorithms")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert not run.stdout.split()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_is_hashed_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert requirements
    for line, following in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if line in requirements:
            assert "==" in line
            assert following.strip().startswith("--hash=sha256:")


@pytest.mark.parametrize("lock", ["imaging", "inference", "slides", "training"])
def test_images_without_deep_learning_hold_no_torch(lock: str) -> None:
    assert not [line for line in (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines() if "torch" in line]


def test_all_locks_agree_on_every_version() -> None:
    versions: dict[tuple[str, str], set[str]] = {}
    apart = {"upload", "shim"}  # the platform's programs hold others back, and have environments of their own
    for lock in (path for path in (ROOT / "requirements").glob("*.txt") if path.stem not in apart):
        for line in lock.read_text().splitlines():
            if "==" in line and not line.startswith((" ", "#")):
                requirement, _, marker = line.removesuffix("\\").strip().partition(" ; ")
                name, version = requirement.split("==")
                versions.setdefault((name, marker), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
