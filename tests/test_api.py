"""An algorithm from Python gives what the command gives, and shows its page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import preop
from preop.errors import InvalidInputError
from tests.conftest import ROOT

CASE = ROOT / "algorithms" / "sarcoma_lung_metastasis" / "test" / "ct_clinical"


@pytest.fixture(scope="module")
def result() -> "preop.api.Result":
    images = {path.parent.name: path for path in CASE.glob("input/images/*/*.mha")}
    clinical = json.loads((CASE / "input" / "clinical-information.json").read_text())
    return preop.load("sarcoma_lung_metastasis").predict(
        ct_image=images["ct"], ct_tumour_segmentation=str(images["ct-tumour-segmentation"]), **clinical
    )


def test_five_lines_give_the_expected_output(result: "preop.api.Result", tmp_path: Path) -> None:
    expected = json.loads((CASE / "expected" / "lung-metastasis-likelihood.json").read_text())
    assert result["lung-metastasis-likelihood"] == pytest.approx(expected, abs=1e-6)
    page = result.save(tmp_path / "new")
    assert json.loads((page.parent / "lung-metastasis-likelihood.json").read_text()) == pytest.approx(
        expected, abs=1e-6
    )


def test_a_notebook_gets_the_page_in_a_frame(result: "preop.api.Result") -> None:
    shown = result.show()._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert "Lung metastasis of soft-tissue sarcoma" in shown


def test_elsewhere_it_is_told_how_to_see_the_page(result: "preop.api.Result") -> None:
    assert "save(folder)" in repr(result.show())


def test_unknown_names_are_told_with_the_nearest(result: "preop.api.Result") -> None:
    with pytest.raises(InvalidInputError, match=r"no input ct_imag \(did you mean ct_image\?\)"):
        preop.load("sarcoma_lung_metastasis").predict(ct_imag="x")
    with pytest.raises(InvalidInputError, match=r"no output likelihood"):
        result["likelihood"]


def test_importing_preop_loads_nothing_else() -> None:
    code = "import sys, preop; print(*(name for name in sys.modules if name.startswith('preop.')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
