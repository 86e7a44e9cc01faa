"""What an algorithm imports when a case is to be predicted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies
from tests.conftest import ROOT


@pytest.mark.parametrize("study", find_studies(ROOT / "algorithms"), ids=lambda study: study.name)
def test_inference_imports_nothing_of_the_simulation(study: Algorithm) -> None:
    reached, waiting = set(), {"inference"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= imported(study.folder / f"{name}.py") - reached
    assert "simulation" not in reached


def imported(path: Path) -> set[str]:
    """Modules beside this one that it imports when it is imported itself."""
    if not path.is_file():
        return set()
    return {
        (node.module or "").split(".")[0]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.level == 1
    }
