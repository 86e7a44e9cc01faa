"""What an algorithm imports is what its lock installs: read from the code, as ``benchmarks/locks.py`` tries it for real."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies

ROOT = Path(__file__).parents[2]
STUDIES = find_studies(ROOT / "algorithms")
OWN = {"preop", "tests", "evaluation", *(study.name for study in STUDIES)}


def imports_of(file: Path) -> Iterator[str]:
    """Top packages that a file imports, wherever in it; those that are only for types are left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def library_packages(file: Path) -> set[str]:
    """Packages of the library that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("preop."):
            found.add(str(node.module).split(".")[1])
    return found


def locked_in(lock: str) -> set[str]:
    """Names of the packages of a lock, as indexes compare them."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return {normal(name) for name in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", text, re.MULTILINE)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def files_of_the_image(study: Algorithm) -> list[Path]:
    """Modules of a study that its image runs: what the inference imports, not training and simulation."""
    seen: set[Path] = set()
    todo = [study.folder / "inference.py"]
    while todo:
        file = todo.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                todo += [study.folder / f"{name}.py" for name in names]
    return sorted(seen)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_import_of_an_algorithm_is_in_its_lock(study: Algorithm) -> None:
    provided_by = importlib.metadata.packages_distributions()
    locked = locked_in(study.requirements)
    missing = [
        f"{file.name} imports {name}"
        for file in files_of_the_image(study)
        for name in set(imports_of(file)) - OWN - set(sys.stdlib_module_names)
        if not {normal(each) for each in provided_by.get(name, ["unknown"])} & locked
    ]
    assert missing == []


# Packages of the library that are nothing without something that not every lock has.
NEEDS = {"mil": "onnxruntime", "segmentation": "totalsegmentator", "slides": "openslide-python"}


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_what_the_library_needs_for_an_algorithm_is_in_its_lock(study: Algorithm) -> None:
    used = set().union(*(library_packages(file) for file in files_of_the_image(study)))
    needed = {NEEDS[package] for package in used & NEEDS.keys()}
    assert needed - locked_in(study.requirements) == set()
