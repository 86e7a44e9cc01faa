"""What is marked where nothing of the kind can be is found without anyone looking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import Geometry, Image
from preop.radiomics.settings import Modality
from preop.review.checks import Kind
from preop.review.plausibility import implausible
from preop.review.subjects import MaskKind
from preop.study import Plausibility, plausibility_of

ROOT = Path(__file__).parents[2]
GRID = Geometry.axis_aligned((20, 40, 40), (4.0, 4.0, 4.0))
TUMOUR = MaskKind("mask", "Tumour", "ct-image", {"tumour": 1})
NODES = MaskKind("nodes", "Nodes", "ct-image", {})


@pytest.fixture(scope="module")
def body() -> Image:
    """A block of fat in air that holds a block of lung."""
    voxels = np.full(GRID.shape, -1000, np.int16)
    voxels[:, 8:32, 8:32] = -100
    voxels[4:16, 12:28, 20:28] = -850
    return Image(voxels, GRID)


@pytest.fixture(scope="module")
def nodes_of_the_pelvis() -> Plausibility:
    found = plausibility_of(read_algorithm(ROOT / "algorithms" / "bladder_lymph_nodes"))
    assert found is not None
    return found


def marked(*places: tuple[int, int, int], size: int = 3, numbered: bool = True) -> Image:
    voxels = np.zeros(GRID.shape, np.uint8)
    for number, (z, y, x) in enumerate(places, 1):
        voxels[z : z + size, y : y + size, x : x + size] = number if numbered else 1
    return Image(voxels, GRID)


def told(
    scan: Image, mask: Image, kind: MaskKind = TUMOUR, expected: Plausibility | None = None
) -> list[tuple[Kind, str]]:
    return [(each.kind, each.text) for each in implausible(scan, mask, kind, Modality.CT, expected)]


def test_nothing_is_found_about_what_lies_in_the_body(body: Image) -> None:
    assert told(body, marked((8, 14, 12))) == []


def test_a_region_beyond_the_skin_is_found_with_its_share(body: Image) -> None:
    assert told(body, marked((8, 14, 6))) == [(Kind.BODY, "The region tumour lies outside of the body by 67%.")]


def test_a_region_in_the_lung_is_found_by_its_air(body: Image) -> None:
    assert told(body, marked((8, 14, 22))) == [(Kind.AIR, "The region tumour lies in air: its median is -850 HU.")]


def test_each_instance_is_looked_at_by_itself(body: Image) -> None:
    assert told(body, marked((8, 14, 12), (8, 14, 22)), NODES) == [
        (Kind.AIR, "Number 2 lies in air: its median is -850 HU.")
    ]


def test_parts_of_one_label_are_instances(body: Image) -> None:
    found = told(body, marked((8, 14, 12), (8, 14, 22), numbered=False), NODES)
    assert found == [(Kind.AIR, "A structure lies in air: its median is -850 HU.")]


def test_many_are_counted(body: Image) -> None:
    in_lung = [(6, 13, 21), (6, 13, 24), (6, 17, 21), (6, 17, 24), (10, 13, 21)]
    ((kind, text),) = told(body, marked(*in_lung, size=2), NODES)
    assert kind is Kind.AIR
    assert text.count("Number") + text.count("number") == 3
    assert text.endswith("and so for 2 more.")


def test_a_study_says_how_large_and_dense_its_instances_are(body: Image, nodes_of_the_pelvis: Plausibility) -> None:
    bright = body.with_voxels(np.where(body.voxels == -100, 400, body.voxels))
    (kind, text), (denser, other) = told(bright, marked((1, 10, 9), size=15), NODES, nodes_of_the_pelvis)
    assert (kind, denser) == (Kind.SIZE, Kind.DENSITY)
    assert text == "What is marked has a volume of 216 ml (plausible: 0 to 200 ml)."
    assert "a median density of 400 HU" in other


def test_a_speck_is_no_instance() -> None:
    fine = Geometry.axis_aligned((20, 40, 40), (1.0, 1.0, 1.0))
    mask = Image(marked((8, 14, 12), size=1).voxels, fine)
    (found,) = implausible(mask, mask, NODES, Modality.MR)
    assert (found.kind, found.text) == (
        Kind.SIZE,
        "What is marked has 1 mm³, less than any structure that is measured.",
    )


def test_a_scan_without_skin_says_nothing_of_the_body() -> None:
    organ = Image(np.full(GRID.shape, 60, np.int16), GRID)
    assert told(organ, marked((0, 0, 0))) == []


def test_studies_without_plausible_ranges_have_none() -> None:
    assert plausibility_of(read_algorithm(ROOT / "algorithms" / "sarcoma_lung_metastasis")) is None
