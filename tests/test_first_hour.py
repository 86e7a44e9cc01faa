"""The page of the first hour cannot be wrong: its commands are taken from it and run as they stand, in a clean environment."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from preop.imaging import read_image, write_image
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
CASE = ROOT / "algorithms" / "sarcoma_lung_metastasis" / "test" / "ct_clinical"


def blocks(heading: str, language: str = "bash") -> list[str]:
    """Blocks of code below a heading of the page."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = next(part for part in section if part.startswith(heading))
    return re.findall(rf"```{language}\n(.*?)```", found, flags=re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader begins with: a scan, a folder of patients, two tables, a folder that a colleague made; and no more."""
    folder = tmp_path_factory.mktemp("desk")
    images = {path.parent.name: path for path in CASE.glob("input/images/*/*.mha")}
    scan, mask = (read_image(images[name]) for name in ("ct", "ct-tumour-segmentation"))
    write_image(scan, folder / "ct.nii.gz")
    write_image(mask, folder / "tumour.nii.gz")
    for number in range(4):
        place = folder / "hospital" / f"p{number}"
        place.mkdir(parents=True)
        write_image(scan.with_voxels(scan.voxels + number), place / "ct.nii.gz")
        shutil.copy(folder / "tumour.nii.gz", place / "ct_mask.nii.gz")
        sitk.WriteImage(sitk.ReadImage(str(place / "ct_mask.nii.gz")) * 1, str(place / "ct_mask.nii.gz"))
    rows = [f"p{number};6{number};{'FM'[number % 2]};{number % 2}" for number in range(4)]
    (folder / "clinical.csv").write_text("\n".join(["patient;Age;sex;lung_metastasis", *rows]))
    (folder / "team.csv").write_text("case,likelihood\na,0.9\nb,0.2\nc,0.6\nd,0.1\n")
    (folder / "reference.csv").write_text("case,outcome\na,1\nb,0\nc,1\nd,0\n")
    shutil.copytree(CASE / "input", folder / "bundled" / "input")
    shutil.copytree(CASE / "expected", folder / "bundled" / "output")
    return folder


def typed(command: str, desk: Path) -> str:
    """Run a block as a shell does, with nothing of this machine but the installed command."""
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(desk)}
    done = subprocess.run(
        ["bash", "-ec", command], cwd=desk, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_partner_hospital(desk: Path) -> None:
    doctor, run, propose, predict, validate = blocks("A partner hospital")
    typed(doctor, desk)
    assert typed(run, desk).splitlines()[-1] == "Case page: result/case.html"
    said = typed(propose, desk)
    assert "Nothing is written" in said
    assert said.splitlines()[-1] == "4 patients: hospital/cohort.csv"
    typed(predict, desk)
    predictions = list(csv.DictReader((desk / "predictions" / "predictions.csv").open(encoding="utf-8")))
    assert [row["error"] for row in predictions] == [""] * 4
    assert typed(validate, desk).splitlines()[-1] == "Result page: validation/results.html"


@pytest.mark.skipif("PREOP_WHOLE" not in os.environ, reason="trains for over a minute of a core; PREOP_WHOLE=1 runs it")
def test_the_researcher(desk: Path) -> None:
    if not (desk / "hospital" / "cohort.csv").is_file():
        typed(blocks("A partner hospital")[2], desk)
    (train,) = blocks("A researcher")
    assert typed(train, desk).splitlines()[-1] == "Result page: my-validation/results.html"
    assert "Discrimination of all models" in (desk / "my-model-report" / "report.html").read_text(encoding="utf-8")


def test_the_organiser(desk: Path) -> None:
    (evaluate,) = blocks("An organiser")
    assert typed(evaluate, desk).splitlines()[-1] == "Result page: evaluation/results.html"


def test_the_clinician(desk: Path) -> None:
    (show,) = blocks("A clinician")
    assert typed(show, desk).splitlines()[-1] == "Case page: bundled/output/case.html"


def test_from_python(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(desk)
    (program,) = blocks("From Python", "python")
    exec(program, {})  # noqa: S102 - of our own page
    assert 0 < float(capsys.readouterr().out) < 1
