"""The notebooks run as they stand, and say what they say in the repository."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
executed = runpy.run_path(str(ROOT / "docs" / "notebooks" / "execute.py"))["executed"]


def printed(notebook: dict[str, list[dict[str, list[dict[str, object]]]]]) -> list[object]:
    return [
        output.get("text") or output.get("data") for cell in notebook["cells"] for output in cell.get("outputs", [])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_it_said(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREOP_CHECKOUT", str(ROOT))
    notebook = json.loads(path.read_text(encoding="utf-8"))
    said = printed(notebook)
    assert said
    assert printed(executed(notebook)) == said
