"""Metastases separated, their rings in mm bounded by the liver, and the interface unrolled from inside out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from liver_growth_pattern.lesions import (
    DEPTHS_MM,
    INNER_RING_MM,
    LIVER,
    OUTER_RING_MM,
    OWN,
    PATCH_VOXELS,
    POINTS,
    Surroundings,
    find_lesions,
    surroundings,
)
from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image

SPACING = (2.5, 1.2, 1.2)
SHAPE = (44, 80, 80)


def ball(centre_mm: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    """Voxels (z, y, x) of a ball in the scan of these tests."""
    grid = [index * mm for index, mm in zip(np.indices(SHAPE), SPACING, strict=True)]
    return np.asarray(sum((axis - place) ** 2 for axis, place in zip(grid, centre_mm, strict=True)) <= radius_mm**2)


def scan(*lesions: NDArray[np.bool_], liver_hu: float = 110.0) -> tuple[Image, Image]:
    """A liver on the right, fat on the left of x = 20 mm, and metastases in it."""
    geometry = Geometry.axis_aligned(SHAPE, SPACING, (10.0, -20.0, 300.0))
    hu = np.full(SHAPE, liver_hu)
    hu[:, :, : round(20 / SPACING[2])] = -100.0
    labels = np.zeros(SHAPE, dtype=np.int16)
    for number, lesion in enumerate(lesions, start=1):
        hu[lesion] = 60.0
        labels[lesion] = number
    noise = np.random.default_rng(0).normal(0, 4, SHAPE)
    return Image((hu + noise).astype(np.int16), geometry), Image(labels, geometry)


IN_THE_MIDDLE = ball((54, 48, 56), 12)


def around(lesion: NDArray[np.bool_]) -> Surroundings:
    ct, labels = scan(lesion)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(lesion))
    return surroundings(ct, labels, 1, box, None)


def test_rings_have_their_width_in_mm() -> None:
    seen = around(IN_THE_MIDDLE)
    radius = (3 / (4 * np.pi) * (seen.tissue == OWN).sum()) ** (1 / 3)
    assert radius == pytest.approx(12, abs=0.6)

    def shell(inner: float, outer: float) -> float:
        return 4 / 3 * np.pi * (outer**3 - inner**3)

    assert seen.region("core").sum() == pytest.approx(shell(0, radius - INNER_RING_MM), rel=0.12)
    assert seen.region("inner_ring").sum() == pytest.approx(shell(radius - INNER_RING_MM, radius), rel=0.12)
    assert seen.region("outer_ring").sum() == pytest.approx(shell(radius, radius + OUTER_RING_MM), rel=0.12)


def test_regions_do_not_overlap_and_the_outer_ring_is_liver() -> None:
    seen = around(ball((54, 48, 30), 11))
    regions = [seen.region(name) for name in ("core", "inner_ring", "outer_ring")]
    assert max(sum(region.astype(int) for region in regions).ravel()) == 1
    outer = seen.density.voxels[regions[2]]
    assert outer.min() > -60
    fat = seen.density.voxels < -120
    assert fat.sum() > 1000
    assert not (fat & (seen.tissue == LIVER)).any()


def test_the_ring_below_the_surface_ends_where_there_is_no_liver_beside() -> None:
    whole, at_fat = (around(ball((54, 48, x), 11)).region("inner_ring").sum() for x in (56, 24))
    assert at_fat < 0.85 * whole


def test_density_is_taken_beside_the_livers() -> None:
    ct, labels = scan(IN_THE_MIDDLE, liver_hu=90)
    (seen,) = find_lesions(ct, labels).seen
    assert seen.lesion.liver_hu == pytest.approx(90, abs=2)
    assert seen.features["core_stat_median"] == pytest.approx(-30, abs=3)
    assert seen.features["outer_ring_stat_p90"] == pytest.approx(0, abs=8)


def test_the_unrolled_interface_leads_from_the_metastasis_into_the_liver() -> None:
    ct, labels = scan(IN_THE_MIDDLE)
    (seen,) = find_lesions(ct, labels).seen
    assert seen.patches.shape == (POINTS, 2, len(DEPTHS_MM), PATCH_VOXELS, PATCH_VOXELS)
    density, liver = seen.patches.astype(float).mean(axis=(0, 3, 4)) / 255
    deep, far = DEPTHS_MM.index(-4), DEPTHS_MM.index(6)
    assert liver[: deep + 1].max() < 0.02
    assert liver[far:].min() > 0.98
    assert density[deep] * 200 - 100 == pytest.approx(-50, abs=3)
    assert density[far] * 200 - 100 == pytest.approx(0, abs=3)


def test_the_surface_is_followed_where_it_bends() -> None:
    ct, labels = scan(IN_THE_MIDDLE)
    (seen,) = find_lesions(ct, labels).seen
    density = np.median(seen.patches[:, 0].astype(float), axis=0) * 200 / 255 - 100
    corners = np.mean([density[:, i, j] for i in (0, -1) for j in (0, -1)], axis=0)
    middle, corner = (float(np.interp(-25, profile, DEPTHS_MM)) for profile in (density[:, 2, 2], corners))
    # A plane that touches a ball of 12 mm is 1.3 mm above it at these corners.
    assert middle == pytest.approx(0, abs=0.6)
    assert corner == pytest.approx(middle, abs=0.6)


def test_labels_and_a_mask_give_the_same_metastases() -> None:
    ct, labels = scan(ball((54, 50, 45), 10), ball((54, 50, 78), 6))
    mask = labels.with_voxels((labels.voxels > 0).astype(np.uint8))
    by_label, by_mask = find_lesions(ct, labels), find_lesions(ct, mask)
    assert [each.lesion for each in by_label.seen] == [each.lesion for each in by_mask.seen]
    np.testing.assert_array_equal(by_label.seen[0].patches, by_mask.seen[0].patches)


def test_a_single_metastasis_keeps_its_number() -> None:
    ct, labels = scan(IN_THE_MIDDLE)
    (seen,) = find_lesions(ct, labels.with_voxels(labels.voxels * 4)).seen
    assert seen.lesion.number == 4


def test_a_scan_stored_from_head_to_foot_gives_the_same_metastasis() -> None:
    ct, labels = scan(IN_THE_MIDDLE)

    def turned(image: Image) -> Image:
        last = image.geometry.world_mm(np.array([[SHAPE[0] - 1, 0, 0]]))[0]
        geometry = Geometry(SHAPE, SPACING, tuple(last.tolist()), (1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0))
        return Image(np.ascontiguousarray(image.voxels[::-1]), geometry)

    (one,), (other,) = (find_lesions(*pair).seen for pair in ((ct, labels), (turned(ct), turned(labels))))
    assert other.lesion.centre_mm == pytest.approx(one.lesion.centre_mm, abs=2.6)
    assert other.features["inner_ring_stat_mean"] == pytest.approx(one.features["inner_ring_stat_mean"], abs=0.5)


def test_a_metastasis_in_fat_is_not_judged_and_named() -> None:
    ct, labels = scan(IN_THE_MIDDLE, ball((54, 50, 2), 5))
    found = find_lesions(ct, labels)
    assert found.outside == (2,)
    assert [each.lesion.number for each in found.seen] == [1]
    assert any("Not assessed, because there is no liver around: 1 metastasis (2)" in note for note in found.notes)


def test_nothing_in_the_liver_is_refused() -> None:
    ct, labels = scan(ball((54, 50, 2), 5))
    with pytest.raises(InvalidInputError, match="None of the 1 metastasis"):
        find_lesions(ct, labels)


def test_one_voxel_is_too_small() -> None:
    ct, labels = scan(IN_THE_MIDDLE)
    speck = labels.voxels.copy()
    speck[5, 60, 60] = 7
    found = find_lesions(ct, labels.with_voxels(speck))
    assert [each.lesion.number for each in found.seen] == [1]
    assert any("1 part of the segmentation excluded" in note for note in found.notes)
    alone = np.where(speck == 7, 1, 0).astype(np.uint8)
    with pytest.raises(InvalidInputError, match="or than one voxel"):
        find_lesions(ct, labels.with_voxels(alone))


def test_one_that_is_cut_by_the_edge_is_judged_and_named() -> None:
    ct, labels = scan(ball((2, 48, 56), 10))
    found = find_lesions(ct, labels)
    assert found.seen[0].lesion.cut_by_edge
    assert any("At the edge of the scan, and assessed by the part that is seen: 1" in note for note in found.notes)


def test_an_organ_mask_bounds_the_liver() -> None:
    ct, labels = scan(IN_THE_MIDDLE)
    half = np.zeros(SHAPE, dtype=bool)
    half[:, :, : round(56 / SPACING[2])] = True
    whole, bounded = (find_lesions(ct, labels, liver).seen[0] for liver in (None, labels.with_voxels(half)))
    assert bounded.lesion.liver_share == pytest.approx(0.5, abs=0.1)
    assert whole.lesion.liver_share > 0.9


@pytest.mark.parametrize(
    ("values", "sentence"),
    [(0, "is empty"), (-1, "holds values from -1 to 0"), (0.5, "expected whole numbers")],
)
def test_what_is_no_label_is_refused(values: float, sentence: str) -> None:
    ct, labels = scan(IN_THE_MIDDLE)
    with pytest.raises(InvalidInputError, match=sentence):
        find_lesions(ct, labels.with_voxels(np.where(labels.voxels > 0, values, 0).astype(np.float32)))


def test_large_parts_with_one_number_are_mentioned() -> None:
    ct, labels = scan(ball((54, 50, 45), 8), ball((54, 50, 78), 8), ball((80, 20, 60), 6))
    same = np.where(labels.voxels == 2, 1, labels.voxels)
    found = find_lesions(ct, labels.with_voxels(same))
    assert [each.lesion.number for each in found.seen] == [1, 3]
    assert any("Labels in several large parts" in note for note in found.notes)
