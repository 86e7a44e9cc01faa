"""What a user types: `preop radiomics` reads a file for what it says, or ends with one sentence and writes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from preop.cli import main
from tests.dicom.made import file_of, volume_of, write_segmentation, write_series, write_structures
from tests.dicom.test_masks import circle, disc, masks

Typed = Callable[..., tuple[int, str, dict[str, float]]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `preop radiomics` and give the exit code, what was said, and the features."""
    settings = tmp_path / "settings.toml"
    settings.write_text(
        "spacing_mm = [0, 0, 0]\nround_intensities = false\n[discretisation]\nmethod = 'fixed_bin_number'\ncount = 8\n"
    )

    def run(*words: object) -> tuple[int, str, dict[str, float]]:
        output = tmp_path / "features.json"
        output.unlink(missing_ok=True)
        command = ["preop", "radiomics", *map(str, words), "--output", str(output), "--settings", str(settings)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        features = json.loads(output.read_text())["features"] if output.exists() else {}
        return int(left.value.code or 0), " ".join((told.out + told.err).split()), features

    return run


def refused(typed: Typed, words: str, *command: object) -> None:
    code, told, features = typed(*command)
    assert (code, features) == (1, {})
    assert words in told


def test_a_series_with_contours(typed: Typed, tmp_path: Path) -> None:
    volume = volume_of()
    scan = write_series(tmp_path / "ct", volume)
    contours = write_structures(tmp_path / "rs.dcm", {"Lung": [circle(3.8, 33)], "GTV_1": [circle(3.3, 36)]})
    code, _, features = typed(scan, contours, "--label", "GTV*")
    assert code == 0
    assert features["stat_mean"] == pytest.approx(volume[2][disc(3.3)].mean())
    assert features["morph_vol_approx"] == pytest.approx(disc(3.3).sum() * 3.0 * 0.8)
    refused(typed, "2 values (1 Lung, 2 GTV_1); expected one: name the region with --label", scan, contours)


def test_a_series_with_a_segmentation(typed: Typed, tmp_path: Path) -> None:
    volume = volume_of()
    scan = write_series(tmp_path / "ct", volume)
    code, _, features = typed(scan, write_segmentation(tmp_path / "seg.dcm", masks()), "--label", 2)
    assert code == 0
    assert features["stat_mean"] == pytest.approx(volume[masks()["Tumour"]].mean())


def test_a_series_with_a_missing_slice(typed: Typed, tmp_path: Path) -> None:
    scan = write_series(tmp_path / "ct", volume_of())
    file_of(scan, 4).unlink()
    refused(typed, "1 slice is missing", scan, write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3.3, 36)]}))


def test_what_was_corrected_is_said(typed: Typed, tmp_path: Path) -> None:
    affine = np.diag([0.8, 0.9, 2.5, 1])
    affine[1, 2] = 0.01
    rng = np.random.default_rng(0)
    voxels, inside = rng.normal(0, 1, (10, 9, 8)).astype(np.float32), np.zeros((10, 9, 8), np.uint8)
    inside[3:7, 3:7, 2:6] = 1
    for name, content in (("image", voxels), ("mask", inside)):
        image = nib.Nifti1Image(content, affine)
        image.set_sform(affine, 1)
        image.header["qform_code"] = 0
        nib.save(image, tmp_path / f"{name}.nii.gz")
    code, told, features = typed(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    assert code == 0
    assert "image.nii.gz: the axes y and z meet at 89.77 degrees" in told
    assert features["stat_mean"] == pytest.approx(voxels[inside > 0].mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("mask", "label", "words"),
    [
        ("mk_bspline", None, "voxels with fractions"),
        ("multi_kidney1_tumour2", None, "holds 2 values (1, 2)"),
        ("multi_kidney1_tumour2", "3", "The label 3 is not in"),
    ],
)
def test_the_public_examples_that_are_refused(
    typed: Typed, data: Path, mask: str, label: str | None, words: str
) -> None:
    folder = data / "faults/masks"
    chosen = ["--label", label] if label else []
    refused(typed, words, folder / "im.nii.gz", folder / f"{mask}.nii.gz", *chosen)


def test_the_public_examples_that_are_read(typed: Typed, data: Path) -> None:
    folder = data / "faults"
    ball = np.asarray(nib.load(folder / "masks/mk.nii.gz").dataobj) > 0
    volume = ball.sum() * np.prod(nib.load(folder / "masks/mk.nii.gz").header.get_zooms())
    for mask, label in (("mk", []), ("multi_kidney1_tumour2", ["--label", "2"])):
        code, _, features = typed(folder / "masks/im.nii.gz", folder / f"masks/{mask}.nii.gz", *label)
        assert code == 0
        assert features["morph_vol_approx"] == pytest.approx(volume)
    refused(typed, "19 voxels that are not finite", folder / "nifti/im_nanroi.nii.gz", folder / "masks/mk.nii.gz")
