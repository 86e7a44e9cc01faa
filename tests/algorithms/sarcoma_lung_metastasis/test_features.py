"""What clinical information and the signal of MR become as features."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.values import JSON, check_value
from preop.imaging import Geometry, Image
from sarcoma_lung_metastasis.explanation import CLINICAL_LABELS
from sarcoma_lung_metastasis.features import CLINICAL, CONTRAST_T1, SCANS, T1, T2_FS, Scan, measure, scan_of
from tests.conftest import ROOT

ALGORITHM = read_algorithm(ROOT / "algorithms" / "sarcoma_lung_metastasis")


def features(**known: JSON) -> dict[str, float]:
    check_value(known, ALGORITHM.input(CLINICAL), ALGORITHM.json_schemas[CLINICAL])
    return measure(Case(ALGORITHM, "p", {}, {CLINICAL: known}))


@pytest.mark.parametrize(
    ("known", "name", "value", "written"),
    [
        ({"depth": "deep"}, "deep", 1.0, "yes"),
        ({"depth": "superficial"}, "deep", 0.0, "no"),
        ({"size_mm": 100}, "log_size_mm", math.log(100), "100 mm"),
        ({"neoadjuvant_therapy": "none"}, "neoadjuvant", 0.0, "no"),
        ({"neoadjuvant_therapy": "both"}, "neoadjuvant", 1.0, "yes"),
        ({"margin": "positive"}, "margin_positive", 1.0, "yes"),
    ],
)
def test_an_item_that_is_known_is_a_feature_and_the_others_are_not_known(
    known: dict[str, JSON], name: str, value: float, written: str
) -> None:
    row = features(**known)
    assert row.keys() == CLINICAL_LABELS.keys()
    assert row[name] == pytest.approx(value)
    assert CLINICAL_LABELS[name][1](value) == written
    assert all(math.isnan(other) for other_name, other in row.items() if other_name != name)


@pytest.mark.parametrize("known", [{"size_mm": 0}, {"depth": "very"}, {"neoadjuvant_therapy": True}])
def test_what_cannot_be_is_refused(known: dict[str, JSON]) -> None:
    with pytest.raises(InvalidInputError, match="clinical-information"):
        features(**known)


TUMOUR, AROUND = 300.0, 100.0


def mr_case(scan: Scan, *, scale: float, unit: float = 1.0) -> Case:
    """A cube of tumour in muscle with a border of fat: bright on T1, dark on T2 with fat suppression."""
    voxels = np.full((16, 40, 40), AROUND)
    fat = {T2_FS: 20.0}.get(scan, 800.0)
    voxels[:, :4] = voxels[:, -4:] = fat
    mask = np.zeros(voxels.shape, np.uint8)
    mask[4:12, 14:26, 14:26] = 1
    voxels[mask > 0] = TUMOUR * unit
    voxels += np.random.default_rng(0).normal(scale=4, size=voxels.shape)
    grid = Geometry.axis_aligned(voxels.shape, (3.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    images = {scan.image: Image((voxels * scale).astype(np.float32), grid), scan.segmentation: Image(mask, grid)}
    return Case(ALGORITHM, "p", dict.fromkeys(images, Path("p.mha")), {}, images)


@pytest.mark.parametrize(("scan", "per_cent"), [(T1, TUMOUR / 8), (CONTRAST_T1, TUMOUR / 8), (T2_FS, TUMOUR)])
def test_the_signal_of_mr_is_measured_against_a_tissue_whatever_the_scanner_stores(scan: Scan, per_cent: float) -> None:
    small, large = (measure(mr_case(scan, scale=scale)) for scale in (0.5, 30.0))
    assert small[f"{scan.name}_stat_mean"] == pytest.approx(per_cent, rel=0.05)
    assert large == pytest.approx(small, rel=1e-3, abs=1e-6)


def test_a_brighter_tumour_does_not_change_what_it_is_compared_with() -> None:
    once, twice = (measure(mr_case(T2_FS, scale=1.0, unit=unit))["t2fs_stat_mean"] for unit in (1.0, 2.0))
    assert twice == pytest.approx(2 * once, rel=0.02)


def test_a_scan_is_told_from_another_whose_name_begins_alike() -> None:
    assert [scan_of(f"{scan.name}_stat_mean") for scan in SCANS] == [*SCANS]
