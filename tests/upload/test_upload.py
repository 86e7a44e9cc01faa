"""A cohort becomes items of an archive: prepared from any format, sent by the platform's own client to a stand-in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from preop.cli.commands import app
from preop.cli.platform import CLIENT_PYTHON
from preop.cohort import read_cohort
from preop.errors import InvalidInputError, MissingToolError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.sockets import request_of
from preop.upload import TOKEN_VARIABLE, item_of, planned, send_cohort
from tests.conftest import ROOT
from tests.upload.stand_in import TOKEN, Platform, serving

PYTHON = Path(os.environ.get("PREOP_UPLOAD_PYTHON", ROOT / CLIENT_PYTHON))


def write_cohort(toy: Algorithm, folder: Path, names: tuple[str, ...] = ("a", "b")) -> Path:
    """Patients with scans as NIfTI, masks of 16 bits, and facts."""
    rows = ["patient,scan,mask,age,sex"]
    for number, name in enumerate(names):
        scan = sitk.GetImageFromArray(np.full((4, 5, 6), number, np.int16))
        mask = sitk.GetImageFromArray((np.arange(120).reshape(4, 5, 6) % 2).astype(np.int16))
        sitk.WriteImage(scan, str(folder / f"{number}-scan.nii.gz"))
        sitk.WriteImage(mask, str(folder / f"{number}-mask.nii.gz"))
        rows.append(f"{name},{number}-scan.nii.gz,{number}-mask.nii.gz,6{number},female")
    table = folder / "cohort.csv"
    table.write_text("\n".join(rows) + "\n")
    assert read_cohort(table, toy)
    return table


def test_images_are_written_anew_under_the_patients_name(toy: Algorithm, tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(toy, tmp_path), toy)
    folder = tmp_path / "files"
    folder.mkdir()
    item = item_of(cohort.patients[1], folder)
    assert item.title == "b"
    assert item.values["facts"]["age"] == 61
    assert {slug: path.name for slug, path in item.files.items()} == {"scan": "b.mha", "mask": "b.mha"}
    mask = sitk.ReadImage(str(item.files["mask"]))
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert sitk.ReadImage(str(item.files["scan"])).GetSize() == (6, 5, 4)
    assert list(item_of(cohort.patients[0], _new(folder / "more"), wanted={"mask"}).files) == ["mask"]


def test_the_plan_says_what_would_be_sent(toy: Algorithm, tmp_path: Path) -> None:
    plan = planned(read_cohort(write_cohort(toy, tmp_path), toy))
    assert plan["a"] == {
        "scan": (tmp_path / "0-scan.nii.gz").stat().st_size,
        "mask": (tmp_path / "0-mask.nii.gz").stat().st_size,
        "facts": 0,
    }


def test_a_name_that_no_file_can_have_is_refused(toy: Algorithm, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"patient '\.\./a' cannot name a file"):
        planned(read_cohort(write_cohort(toy, tmp_path, ("../a",)), toy))


def test_without_the_client_it_says_how_to_get_it(toy: Algorithm, tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(toy, tmp_path), toy)
    with pytest.raises(MissingToolError, match=r"run requirements/apart\.sh upload once"):
        send_cohort(cohort, tmp_path / "python", "mine")


def test_a_client_that_ends_is_told(toy: Algorithm, tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(toy, tmp_path), toy)
    if shutil.which("true") is None:
        pytest.skip("there is no program that only ends")
    with pytest.raises(InvalidInputError, match="ended"):
        send_cohort(cohort, Path(str(shutil.which("true"))), "mine")


def test_the_command_sends_nothing_unless_it_is_told_to(toy: Algorithm, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    words = ["upload", str(toy.folder), "--cohort", str(write_cohort(toy, tmp_path)), "--archive", "mine"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "2 patients, 0 MB of files as they lie here, for the sockets facts, mask, scan." in done.output
    assert "Nothing was sent" in done.output
    refused = CliRunner().invoke(app, [*words, "--send"])
    assert isinstance(refused.exception, InvalidInputError)
    assert "GRAND_CHALLENGE_AUTHORIZATION is not set" in str(refused.exception)


@pytest.fixture
def platform(toy: Algorithm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The stand-in with the toy's sockets."""
    if not PYTHON.exists():
        pytest.skip("the platform's client is not installed: requirements/apart.sh upload")
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    sockets = {}
    for number, socket in enumerate(toy.inputs):
        request = request_of(toy, socket)
        known = {name: request[name] for name in ("title", "slug", "kind", "relative_path", "overlay_segments")}
        more = {"description": "", "pk": number, "default_value": None, "super_kind": socket.kind.super_kind}
        sockets[socket.slug] = {**known, **more, "look_up_table": None}
    made = Platform(sockets)
    with serving(made, tmp_path):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
        yield made


@pytest.mark.slow
def test_every_patient_becomes_an_item_once(toy: Algorithm, tmp_path: Path, platform: Platform) -> None:
    cohort = read_cohort(write_cohort(toy, _new(tmp_path / "cohort"), ("a", "b", "c")), toy)
    platform.refuse = {"b"}
    first = send_cohort(cohort, PYTHON, "mine", platform.address)
    assert (first.sent, first.kept) == (2, 0)
    assert "status 400" in first.failures["b"]
    assert platform.content("c") == {"scan": "c.mha", "mask": "c.mha", "facts": {"age": 62, "sex": "female"}}
    assert all(content for _, content in platform.uploads.values())

    platform.refuse = set()
    before = len(platform.uploads)
    second = send_cohort(cohort, PYTHON, "mine", platform.address)
    assert (second.sent, second.kept, second.failures) == (1, 2, {})
    assert len(platform.uploads) == before + 2
    assert sorted(item["title"] for item in platform.items.values()) == ["a", "b", "c"]


@pytest.mark.slow
def test_what_an_item_has_is_never_written_over(toy: Algorithm, tmp_path: Path, platform: Platform) -> None:
    cohort = read_cohort(write_cohort(toy, _new(tmp_path / "cohort"), ("a",)), toy)
    facts = platform.sockets["facts"]
    kept = {"interface": facts, "socket": facts, "value": {"age": 99}, "file": None, "image": None, "pk": 1}
    platform.items["item-0"] = {"title": "a", "values": [kept]}
    assert send_cohort(cohort, PYTHON, "mine", platform.address).sent == 1
    assert platform.content("a") == {"facts": {"age": 99}, "scan": "a.mha", "mask": "a.mha"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("archive", "token", "sentence"),
    [
        ("other", TOKEN, "there is no such archive that this user may see"),
        ("mine", "wrong", "it refuses the token: make one in your profile there"),
    ],
)
def test_the_platforms_refusal_is_told(
    toy: Algorithm, tmp_path: Path, platform: Platform, monkeypatch: Any, archive: str, token: str, sentence: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    cohort = read_cohort(write_cohort(toy, _new(tmp_path / "cohort")), toy)
    with pytest.raises(InvalidInputError, match=sentence):
        send_cohort(cohort, PYTHON, archive, platform.address)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
