"""The body is found without table, clothes and arms; what lies outside of it is no organ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, read_image, reorient
from preop.segmentation.body import AIR_HU, BODY_HU, _smoothed, find_body

SPACING_MM = 4.0


def phantom() -> tuple[Image, dict[str, NDArray[np.bool_]]]:
    """An oval body with two lungs, on a table, with clothes and an arm beside it; and the voxels of each."""
    shape = (20, 80, 110)
    geometry = Geometry.axis_aligned(shape, (SPACING_MM,) * 3, (0.0, 0.0, 0.0))
    y, x = np.meshgrid((np.arange(80) - 36) * SPACING_MM, (np.arange(110) - 50) * SPACING_MM, indexing="ij")

    def oval(x0: float, width: float, depth: float) -> NDArray[np.bool_]:
        return np.broadcast_to(((x - x0) / width) ** 2 + (y / depth) ** 2 <= 1, shape)

    parts = {
        "body": oval(0, 160, 100),
        "lungs": oval(-70, 45, 65) | oval(70, 45, 65),
        "clothes": (oval(0, 176, 116) & ~oval(0, 172, 112)),
        "arm": oval(205, 24, 24),
        "table": np.broadcast_to((y > 124) & (y < 134) & (np.abs(x) < 190), shape),
    }
    voxels = np.full(shape, AIR_HU)
    for name, hu in (("table", 100.0), ("clothes", -250.0), ("arm", 40.0), ("body", 30.0), ("lungs", -850.0)):
        voxels[parts[name]] = hu
    return Image(voxels, geometry), parts


def test_lungs_are_inside_the_body_and_table_clothes_and_arm_are_not() -> None:
    ct, parts = phantom()
    mask = find_body(ct).mask
    assert mask[parts["body"]].mean() > 0.99
    assert mask[parts["lungs"]].all()
    for name in ("table", "clothes", "arm"):
        assert mask[parts[name]].mean() < 0.02, name


def test_the_ct_of_the_body_alone_is_cut_to_it_and_holds_air_around_it() -> None:
    ct, parts = phantom()
    body = find_body(ct)
    alone = body.only(ct)
    assert alone.shape[2] < ct.shape[2]
    assert alone.voxels[~body.mask[body.box]].max() == AIR_HU
    place = ct.geometry.world_mm(np.argwhere(parts["lungs"])[:1])
    assert alone.voxels[tuple(alone.geometry.index_zyx(place)[0].round().astype(int))] == -850


def test_a_ct_in_another_orientation_shows_the_same_body() -> None:
    ct, _ = phantom()
    turned = reorient(ct, "RAS")
    there = turned.with_voxels(find_body(turned).mask.astype(np.uint8))
    back = reorient(there, "LPS").voxels > 0
    assert (back != find_body(ct).mask).mean() < 0.01


def test_a_ct_without_a_body_is_refused() -> None:
    ct, _ = phantom()
    with pytest.raises(InvalidInputError, match="No body is found on the CT: less than 50 ml of it"):
        find_body(ct.with_voxels(np.full(ct.shape, AIR_HU)))


@pytest.mark.parametrize("name", ["lidc_idri_0001", "midrc_ricord_1a_001012"])
def test_the_body_of_a_real_scan_is_found(data: Path, name: str) -> None:
    path = data / "real" / "ct" / f"{name}.nii.gz"
    if not path.is_file():
        pytest.skip(f"the real chest CT is not at {path}")
    reference = read_image(path.with_name(f"{name}_bodylung.nii.gz")).voxels
    found = find_body(read_image(path)).mask
    assert 2 * (found & (reference > 0)).sum() / (found.sum() + (reference > 0).sum()) > 0.97
    assert found[reference == 2].mean() > 0.99  # aerated lung


@pytest.mark.parametrize("shape", [(3, 3, 3), (4, 40, 5), (20, 30, 40)])
def test_what_most_neighbours_are_is_what_their_median_is(shape: tuple[int, int, int]) -> None:
    hu = np.random.default_rng(0).choice([BODY_HU - 1, BODY_HU, BODY_HU + 1], shape)
    assert np.array_equal(_smoothed(hu > BODY_HU), ndimage.median_filter(hu, size=3) > BODY_HU)
