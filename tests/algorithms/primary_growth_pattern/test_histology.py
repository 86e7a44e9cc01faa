"""The comparison with real tissue, on fields made by hand, and the shipped figures on the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from benchmarks.histology import (
    GlandField,
    NucleiField,
    area_under_curve,
    detect,
    dice,
    gland_fields,
    matched,
    nuclei_fields,
    share_called_tumour,
)
from primary_growth_pattern.definitions import TissueLabel
from primary_growth_pattern.tissue import load_torch_networks
from tests.conftest import ROOT

NETWORKS = ROOT / "algorithms" / "primary_growth_pattern" / "model" / "networks"


def gland_field(*, found: int) -> GlandField:
    """Gland in the left half of 10 x 10 squares; tumour in the first columns."""
    glands = np.zeros((10, 10), bool)
    glands[:, :5] = True
    labels = np.full((10, 10), TissueLabel.MATURE_STROMA, np.uint8)
    labels[:, :found] = TissueLabel.TUMOUR
    return GlandField(True, glands, labels, (labels == TissueLabel.TUMOUR).astype(np.float32))


def test_overlap_and_area_are_counted_over_all_fields() -> None:
    assert dice([gland_field(found=5)]) == 1
    assert dice([gland_field(found=5), gland_field(found=0)]) == pytest.approx(2 * 50 / (100 + 50))
    assert area_under_curve([gland_field(found=5)]) == 1
    assert area_under_curve([gland_field(found=10)]) == 0.5
    assert share_called_tumour([gland_field(found=2)]) == 0.2


def test_each_cell_matches_one_nucleus_and_the_nearest_first() -> None:
    found = np.array([[0, 0], [0, 4], [50, 50]], float)
    points = np.array([[0, 3], [100, 100]], float)
    assert matched(found, points, 6).tolist() == [-1, 0, -1]
    assert matched(found[:0], points, 6).tolist() == []


def test_what_lies_on_a_nucleus_without_a_class_counts_for_neither() -> None:
    points = np.array([[0, 0], [20, 0], [40, 0], [60, 0]], float)
    classes = np.array(["inflammatory", "inflammatory", "epithelial", "any"])
    found = np.array([[1, 0], [41, 0], [61, 0], [90, 0]], np.float32)
    detection, lying_on = detect([NucleiField(points, classes, found, np.zeros(4, np.uint8))])
    assert (detection.right, detection.wrong, detection.missed) == (1, 2, 1)
    assert detection.f1 == pytest.approx(0.4)
    assert lying_on == {"inflammatory": 1, "epithelial": 1, "any": 1, "no nucleus": 1}


def test_fields_are_read_at_the_resolution_that_they_have(tmp_path: Path) -> None:
    pixels = np.full((520, 770, 3), 150, np.uint8)
    mask = np.zeros((520, 770), np.uint8)
    mask[:, :385] = 1  # 239 of 477 micrometres
    PillowImage.fromarray(pixels).save(tmp_path / "train_1.jpg")
    PillowImage.fromarray(mask).save(tmp_path / "train_1_anno.png")
    (tmp_path / "Grade.csv").write_text("name,patient ID, grade (GlaS), other\ntrain_1,2, malignant, moderately\n")
    (field,) = gland_fields(tmp_path, load_torch_networks(NETWORKS))
    assert field.malignant
    assert field.glands.shape == field.labels.shape == (40, 59)  # whole squares of 8 micrometres
    assert field.glands[:, :29].all()
    assert not field.glands[:, 31:].any()


def test_a_nucleus_has_the_class_of_its_second_row(tmp_path: Path) -> None:
    PillowImage.fromarray(np.full((500, 500, 3), 150, np.uint8)).save(tmp_path / "img1.jpg")
    (tmp_path / "nuclei.csv").write_text("image,x,y,class\nimg1,100,40,any\nimg1,100,40,epithelial\nimg1,10,20,any\n")
    (field,) = nuclei_fields(tmp_path, load_torch_networks(NETWORKS))
    assert field.classes.tolist() == ["epithelial", "any"]
    assert field.points_um == pytest.approx(np.array([[22, 55], [11, 5.5]]))


def test_the_shipped_networks_do_on_real_tissue_as_it_stands_beside_them(data: Path, tmp_path: Path) -> None:
    """On a part of the fields, within what sampling them allows."""
    glas = data / "real" / "histology" / "glas"
    if not glas.is_dir():
        pytest.skip(f"there is no {glas}")
    chosen = sorted(glas.glob("train_*.jpg"))[::6]
    for path in chosen:
        for each in (path, path.with_name(f"{path.stem}_anno.png")):
            (tmp_path / each.name).symlink_to(each)
    (tmp_path / "Grade.csv").symlink_to(glas / "Grade.csv")
    networks = load_torch_networks(NETWORKS)
    fields = [field for field in gland_fields(tmp_path, networks) if field.malignant]
    assert dice(fields) == pytest.approx(networks.info.real_tissue["tumour"].value, abs=0.15)
