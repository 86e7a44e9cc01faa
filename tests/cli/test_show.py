"""``preop show`` makes and names the page of a folder of outputs, or says in a sentence what it lacks."""

import shutil
from pathlib import Path

import pytest

from preop.cli.commands import show
from preop.errors import InvalidInputError, MissingToolError
from tests.conftest import ROOT


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A case as a run leaves it: ``input`` and ``output`` side by side."""
    bundled = ROOT / "algorithms" / "bladder_lymph_nodes" / "test" / "negative_mask"
    shutil.copytree(bundled / "input", tmp_path / "input")
    shutil.copytree(bundled / "expected", tmp_path / "output")
    return tmp_path


def test_the_input_beside_it_and_the_algorithm_are_found(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(case / "output")
    page = case / "output" / "case.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"Case page: {page}"
    assert "Lymph node metastasis of bladder cancer" in page.read_text(encoding="utf-8")


def test_without_a_browser_the_page_is_there_and_a_sentence_says_what_to_install(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(case))
    with pytest.raises(MissingToolError, match="install Chromium"):
        show(case / "output", pdf=True)
    assert (case / "output" / "case.html").is_file()


def test_a_browser_that_fails_leaves_no_pdf(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = case / "bin" / "chromium"
    browser.parent.mkdir()
    browser.write_text("#!/bin/sh\nexit 3\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(browser.parent))
    with pytest.raises(Exception, match="could not print"):
        show(case / "output", pdf=True)
    assert not list((case / "output").glob("*.pdf"))
    assert not list((case / "output").glob(".partial*"))


def test_a_folder_of_something_else_is_refused(case: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds the outputs of no algorithm; expected all outputs of one"):
        show(case / "input")


def test_an_input_of_another_patient_is_refused(case: Path) -> None:
    other = ROOT / "algorithms" / "bladder_lymph_nodes" / "test" / "positive" / "input"
    shutil.rmtree(case / "input")
    shutil.copytree(other, case / "input")
    with pytest.raises(InvalidInputError, match="is it the output of this input"):
        show(case / "output")
    assert not (case / "output" / "case.html").exists()
