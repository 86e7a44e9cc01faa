"""The commands on a table of patients, as a user types them: sentences, exit codes, and what is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preop.imaging import Geometry, Image, read_image, write_image

pytestmark = pytest.mark.slow

PREOP = [sys.executable, "-c", "from preop.cli import main; main()"]
GRID = Geometry.axis_aligned((9, 9, 9), (1.0, 1.0, 1.0))
DISTANCE = np.linalg.norm(np.indices(GRID.shape) - 4, axis=0)
SETTINGS = "spacing_mm = [0, 0, 0]\n"


def preop(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PREOP, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def patient(folder: Path, name: str, *, seed: int = 0, scale: float = 100.0, radius: float = 2.5) -> None:
    """A ball of noise in air, and its mask of the radius."""
    voxels = np.random.default_rng(seed).normal(0, scale, GRID.shape).astype(np.float32)
    voxels[DISTANCE > 3] = -1000 if scale > 10 else 0
    write_image(Image(voxels if scale > 10 else np.abs(voxels), GRID), folder / f"{name}.nii.gz")
    write_image(Image(radius >= DISTANCE, GRID), folder / f"{name}_mask.nii.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    return tmp_path


def test_a_hospital_table_with_bad_patients_gives_the_others_and_all_reasons(folder: Path) -> None:
    for number in (1, 2):
        patient(folder, f"p{number}", seed=number)
    (folder / "bad.nii.gz").write_bytes(b"\x1f\x8bnothing")
    rows = ["Patient;Image;Mask", "001;p1.nii.gz;p1_mask.nii.gz;", ";;", "../x;p2.nii.gz;p2_mask.nii.gz;"]
    (folder / "wild.mha").write_bytes(b"ObjectType = Image\nNDims = 9993\nDimSize = 1\nElementDataFile = LOCAL\n")
    rows += ["p4;wild.mha;p1_mask.nii.gz"]
    rows += ["1E5;bad.nii.gz;p1_mask.nii.gz", "CON;none.nii.gz;p1_mask.nii.gz"]
    (folder / "cohort.CSV").write_bytes("\n".join(rows).encode("utf-16"))
    done = preop("radiomics", "cohort.CSV", "--settings", "settings.toml", folder=folder)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines[-3:]] == ["1E5", "CON", "p4"]
    assert lines[-4].startswith("3 of 5 patients failed; what was finished is kept in features.csv.parts")
    assert "The column Patient of cohort.CSV was read as patient." in lines
    features = pd.read_csv(folder / "features.csv", dtype={"patient": str})
    assert features["patient"].tolist() == ["001", "../x"]
    assert features["morph_vol_approx"].tolist() == [int((DISTANCE <= 2.5).sum())] * 2
    assert features["warnings"].isna().all()


def test_uptake_is_not_measured_as_if_it_were_hounsfield_units(folder: Path) -> None:
    patient(folder, "pet", scale=5.0)
    pair = ("pet.nii.gz", "pet_mask.nii.gz", "--settings", "settings.toml")
    refused = preop("radiomics", *pair, "--output", "a.csv", folder=folder)
    assert refused.returncode == 1
    assert "does not look like a CT in HU" in refused.stderr
    assert not (folder / "a.csv").exists()
    as_pet = preop("radiomics", *pair, "--modality", "PET", "--output", "b.csv", folder=folder)
    assert as_pet.returncode == 0
    assert as_pet.stderr == ""
    as_ct = preop("radiomics", *pair, "--modality", "CT", "--output", "c.csv", folder=folder)
    assert re.search(r"The region has [1-3] grey levels? \(intensities", as_ct.stderr)
    entropy = [pd.read_csv(folder / f"{name}.csv").loc[0, "ih_entropy"] for name in "bc"]
    assert entropy[0] > 2 > entropy[1]
    assert "grey level" in pd.read_csv(folder / "c.csv").loc[0, "warnings"]


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command at work on many patients, of whom some are finished."""
    rows = ["patient,image,mask"]
    patient(folder, "same")
    rows += [f"{number},same.nii.gz,same_mask.nii.gz" for number in range(3000)]
    (folder / "cohort.csv").write_text("\n".join(rows))
    run = subprocess.Popen(
        [*PREOP, "radiomics", "cohort.csv"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not list(folder.glob("features.csv.parts/*/features.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    yield run
    run.kill()
    run.communicate()


def test_ctrl_c_ends_in_time_with_one_sentence_and_130(folder: Path, running: subprocess.Popen[str]) -> None:
    start = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
    _, stderr = running.communicate(timeout=20)
    assert time.monotonic() - start < 2
    assert running.returncode == 130
    assert stderr == "Stopped. What was finished is kept; the same command goes on from there.\n"
    assert not (folder / "features.csv").exists()


def test_a_killed_run_is_taken_up_and_two_at_once_are_refused(folder: Path, running: subprocess.Popen[str]) -> None:
    second = preop("radiomics", "cohort.csv", folder=folder)
    assert second.returncode == 1
    assert re.fullmatch(
        rf"Another run is at work in features.csv.parts \(process {running.pid}, since .*\): wait .*\n", second.stderr
    )
    running.kill()
    running.wait()
    (folder / "features.csv.parts" / ".partial-left").mkdir(exist_ok=True)
    (folder / "features.csv.parts" / ".keys" / ".partial-left.key").touch()
    finished = {path.parent.name for path in folder.glob("features.csv.parts/*/features.json")}
    kept = (folder / "cohort.csv").read_text().splitlines()[: len(finished) + 1]
    (folder / "cohort.csv").write_text("\n".join(kept))
    done = preop("radiomics", "cohort.csv", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pd.read_csv(folder / "features.csv")) == len(kept) - 1
    assert not list(folder.rglob(".partial-*"))
    assert not list(folder.rglob(".lock"))


@pytest.mark.parametrize("command", [("train", "--model", "new"), ("validate", "--output", "new")])
def test_the_same_scan_under_two_names_is_refused_in_training_and_validation(
    folder: Path, command: tuple[str, str, str]
) -> None:
    for number in range(3):
        patient(folder, f"p{number}", seed=number)
    (folder / "p2.nii.gz").unlink()
    write_image(read_image(folder / "p0.nii.gz"), folder / "p2.mha")
    rows = ["Patient,ct-image,ct-tumour-segmentation,lung_metastasis"]
    rows += [f"p{n},p{n}.{'mha' if n == 2 else 'nii.gz'},p{n}_mask.nii.gz,{n % 2}" for n in range(3)]
    (folder / "cohort.csv").write_text("\n".join(rows))
    name, option, output = command
    done = preop(name, "sarcoma_lung_metastasis", "--cohort", "cohort.csv", option, output, folder=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "cohort.csv has the same image under several patients: p0 and p2 (ct-image). Leave the copies out; or, if they are "
        "the same person, give them the same name in a column group."
    )
    assert not list(folder.rglob("model.json"))
    assert not list(folder.rglob("score.json"))


def test_an_excel_table_is_taken_as_well(folder: Path) -> None:
    patient(folder, "p1")
    pd.DataFrame({"Patient": ["007"], "image": ["p1.nii.gz"], "mask": ["p1_mask.nii.gz"]}).to_excel(
        folder / "cohort.xlsx", index=False
    )
    done = preop("radiomics", "cohort.xlsx", "--settings", "settings.toml", folder=folder)
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "cohort.xlsx was read from the sheet Sheet1.")
    assert pd.read_csv(folder / "features.csv", dtype=str)["patient"].tolist() == ["007"]
