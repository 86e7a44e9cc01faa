"""Lymph nodes separated, measured and cut out, on hand-made scans."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bladder_lymph_nodes.lymph_nodes import (
    NEIGHBOUR,
    OWN,
    WINDOW_HU,
    LymphNodes,
    cut_cubes,
    find_lymph_nodes,
    measures_of,
)
from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, crop

SHAPE = (40, 100, 120)
SPACING = (2.0, 1.0, 1.0)
ORIGIN = (-60.0, -50.0, 100.0)
NODE_HU, FAT_HU = 80, -100


def ball(labels: NDArray[np.int32], centre: tuple[int, int, int], radius_mm: float, label: int) -> None:
    grid = np.indices(labels.shape)
    distance = sum(((grid[axis] - centre[axis]) * SPACING[axis]) ** 2 for axis in range(3))
    labels[distance <= radius_mm**2] = label


def scan_of(labels: NDArray[np.int32]) -> tuple[Image, Image]:
    """A block of fat with nodes in it."""
    geometry = Geometry.axis_aligned(labels.shape, SPACING, ORIGIN)
    return Image(np.where(labels > 0, NODE_HU, FAT_HU).astype(np.int16), geometry), Image(labels, geometry)


@pytest.fixture
def two() -> NDArray[np.int32]:
    labels = np.zeros(SHAPE, dtype=np.int32)
    ball(labels, (20, 50, 30), 6.0, 7)
    ball(labels, (25, 50, 90), 3.0, 2)
    return labels


def found(labels: NDArray[np.int32]) -> LymphNodes:
    return find_lymph_nodes(*scan_of(labels))


def test_a_label_keeps_the_number_the_reader_gave_it(two: NDArray[np.int32]) -> None:
    nodes = found(two)
    assert [node.number for node in nodes.nodes] == [2, 7]
    assert (nodes.labels.voxels == two).all()
    assert nodes.notes == ()


def test_a_node_is_measured_in_millimetres(two: NDArray[np.int32]) -> None:
    small, large = found(two).nodes
    assert large.short_axis_mm == pytest.approx(12, abs=1)
    assert large.volume_ml == pytest.approx(4 / 3 * np.pi * 6**3 / 1000, rel=0.05)
    assert large.centre_mm == pytest.approx((-30.0, 0.0, 140.0))
    assert large.suspicious_by_size
    assert not small.suspicious_by_size
    assert large.p90_hu == NODE_HU


def test_a_node_has_a_side_where_the_whole_width_of_the_body_is_in_view_and_none_in_a_part_of_it() -> None:
    labels = np.zeros((10, 100, 360), dtype=np.int32)
    for number, column in enumerate((120, 182, 250), start=1):
        labels[4:6, 45:55, column - 5 : column + 5] = number
    geometry = Geometry.axis_aligned(labels.shape, (5.0, 2.0, 1.0), (-180.0, -100.0, 0.0))
    body = np.full(labels.shape, -1000, dtype=np.int16)
    body[:, 10:90, 20:340] = FAT_HU
    body[labels > 0] = NODE_HU
    whole, drawn = Image(body, geometry), Image(labels, geometry)
    assert [node.side for node in find_lymph_nodes(whole, drawn).nodes] == ["right", "midline", "left"]
    right = (slice(0, 10), slice(0, 100), slice(0, 200))
    assert [node.side for node in find_lymph_nodes(crop(whole, right), crop(drawn, right)).nodes] == ["unknown"] * 2


def test_a_binary_mask_is_split_into_nodes_by_falling_size(two: NDArray[np.int32]) -> None:
    nodes = found((two > 0).astype(np.int32))
    assert [node.number for node in nodes.nodes] == [1, 2]
    assert nodes.nodes[0].volume_ml > nodes.nodes[1].volume_ml
    assert nodes.notes == ()


def test_touching_nodes_of_a_mask_are_split_and_the_split_is_told() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    ball(labels, (20, 50, 40), 6.0, 1)
    ball(labels, (20, 50, 51), 6.0, 1)
    nodes = found(labels)
    assert len(nodes.nodes) == 2
    assert nodes.notes == ("Nodes that touch each other were split at their waist, 1 time.",)


def test_touching_nodes_with_numbers_of_their_own_are_left_as_the_reader_drew_them() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    ball(labels, (20, 50, 40), 6.0, 1)
    ball(labels, (20, 50, 51), 6.0, 2)
    assert (found(labels).labels.voxels == labels).all()


def test_detached_parts_of_a_label_become_nodes_and_that_is_told(two: NDArray[np.int32]) -> None:
    ball(two, (10, 20, 20), 5.0, 7)
    nodes = found(two)
    assert [node.number for node in nodes.nodes] == [2, 7, 8]
    assert nodes.labels.voxels[20, 50, 30] == 7
    assert nodes.labels.voxels[10, 20, 20] == 8
    assert "1 detached part" in nodes.notes[0]


def test_a_ragged_outline_stays_one_node(two: NDArray[np.int32]) -> None:
    two[20, 50, 38:40] = 7
    nodes = found(two)
    assert [node.number for node in nodes.nodes] == [2, 7]
    assert (nodes.labels.voxels == two).all()
    assert nodes.notes == ()


def test_specks_are_left_out_and_that_is_told(two: NDArray[np.int32]) -> None:
    two[5, 5, 5] = 1
    nodes = found(two)
    assert [node.number for node in nodes.nodes] == [2, 7]
    assert nodes.notes == ("1 part of the segmentation left out: under 5 mm3, too small.",)


def test_a_node_cut_by_the_edge_is_told() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    ball(labels, (0, 50, 40), 6.0, 1)
    ball(labels, (20, 50, 90), 4.0, 2)
    nodes = found(labels)
    assert [node.cut_by_edge for node in nodes.nodes] == [True, False]
    assert nodes.notes == ("Node 1 is cut off by the edge of the scan and may be larger than measured.",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda labels: labels * 0, "is empty: no lymph node is segmented"),
        (lambda labels: labels - 1, "holds values from -1 to 6; expected whole numbers"),
        (lambda labels: labels * 0.3, "expected whole numbers"),
        (lambda labels: labels * 100_000, "expected whole numbers from 0 to 65535"),
    ],
)
def test_what_is_no_label_map_is_refused(two: NDArray[np.int32], change: object, sentence: str) -> None:
    assert callable(change)
    with pytest.raises(InvalidInputError, match=sentence):
        found(change(two))


def test_nothing_but_specks_is_refused() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[10, 10, 10] = 1
    with pytest.raises(InvalidInputError, match="nothing larger than 5 mm3"):
        found(labels)


def test_a_cube_holds_density_node_and_neighbours_at_one_millimetre(two: NDArray[np.int32]) -> None:
    ball(two, (20, 50, 45), 4.0, 3)
    ct, segmentation = scan_of(two)
    nodes = find_lymph_nodes(ct, segmentation)
    cubes = cut_cubes(ct, nodes)
    assert cubes.shape == (3, 2, 48, 48, 48)
    density, place = cubes[[node.number for node in nodes.nodes].index(7)]
    assert place[24, 24, 24] == OWN
    assert place[24, 24, 24 + 15] == NEIGHBOUR
    assert (place == OWN).sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.1)
    step = (WINDOW_HU[1] - WINDOW_HU[0]) / 255
    assert density[24, 24, 24] * step + WINDOW_HU[0] == pytest.approx(NODE_HU, abs=step)
    assert density[2, 2, 2] * step + WINDOW_HU[0] == pytest.approx(FAT_HU, abs=step)


def test_beyond_the_scan_is_air() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    ball(labels, (1, 50, 60), 6.0, 1)
    ct, segmentation = scan_of(labels)
    (cube,) = cut_cubes(ct, find_lymph_nodes(ct, segmentation))
    assert (cube[0, :15] == 0).all()
    assert (cube[1, :15] == 0).all()


def test_a_scan_stored_the_other_way_round_gives_the_same_cubes_and_sides(two: NDArray[np.int32]) -> None:
    ct, segmentation = scan_of(two)
    straight = find_lymph_nodes(ct, segmentation)
    last = ct.geometry.world_mm(np.array([[SHAPE[0] - 1, SHAPE[1] - 1, SHAPE[2] - 1]]))[0]
    flipped = Geometry(SHAPE, SPACING, tuple(last.tolist()), (-1.0, 0, 0, 0, -1, 0, 0, 0, -1))
    turned_ct, turned_segmentation = (
        Image(np.ascontiguousarray(image.voxels[::-1, ::-1, ::-1]), flipped) for image in (ct, segmentation)
    )
    turned = find_lymph_nodes(turned_ct, turned_segmentation)
    assert [node.side for node in turned.nodes] == [node.side for node in straight.nodes]
    # Half way between two voxels, which one is nearer depends on the order of storage.
    assert (cut_cubes(turned_ct, turned) == cut_cubes(ct, straight)).mean() > 0.99
    assert measures_of(turned.nodes) == pytest.approx(measures_of(straight.nodes))


def test_axes_in_space_are_those_of_an_ellipsoid_however_it_lies() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    z, y, x = np.indices(SHAPE)
    labels[((z - 20) * 2 / 12) ** 2 + ((y - 50) / 6) ** 2 + ((x - 60) / 4) ** 2 <= 1] = 1
    (node,) = found(labels).nodes
    assert node.axes_mm == pytest.approx((8, 12, 24), rel=0.12)


def test_an_outline_drawn_too_wide_makes_no_axis_longer(two: NDArray[np.int32]) -> None:
    ct, segmentation = scan_of(two)
    wide = two.copy()
    for label in (2, 7):
        wide[ndimage.binary_dilation(two == label, ndimage.generate_binary_structure(3, 1))] = label
    exact, too_wide = (
        find_lymph_nodes(ct, segmentation.with_voxels(voxels)).nodes[1].axes_mm for voxels in (two, wide)
    )
    assert too_wide == pytest.approx(exact, rel=0.03)


def test_fat_is_compared_with_that_beyond_and_not_where_other_nodes_fill_it(two: NDArray[np.int32]) -> None:
    ct, segmentation = scan_of(two)
    distance = ndimage.distance_transform_edt(two == 0, sampling=SPACING)
    dense = ct.with_voxels(np.where((distance > 0) & (distance <= 2.5), -60, ct.voxels).astype(np.int16))
    small, _ = find_lymph_nodes(dense, segmentation).nodes
    assert (small.fat_around_hu, small.fat_beyond_hu) == (-60, FAT_HU)
    crowd = np.zeros(SHAPE, dtype=np.int32)
    crowd[14:26, 38:62, 48:72] = 1
    crowd[19:21, 48:52, 58:62] = 2
    assert np.isnan(found(crowd).nodes[1].fat_beyond_hu)


def test_measures_of_nodes_are_six_in_slices_and_ten_in_space(two: NDArray[np.int32]) -> None:
    nodes = found(two).nodes
    axial, spatial = measures_of(nodes), measures_of(nodes, "spatial")
    assert axial.shape == (2, 6)
    assert spatial.shape == (2, 10)
    assert (spatial[:, :6] == axial).all()
    assert spatial[1, 6:9].tolist() == pytest.approx(list(nodes[1].axes_mm))


def test_the_core_says_how_much_of_a_node_is_fat_and_necrosis_and_nothing_in_a_small_node() -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    ball(labels, (20, 50, 40), 9.0, 1)
    ball(labels, (20, 50, 90), 3.0, 2)
    ct, segmentation = scan_of(labels)
    voxels = ct.voxels.copy()
    voxels[:, :, :37][labels[:, :, :37] == 1] = -60
    voxels[:, :, 44:60][labels[:, :, 44:60] == 1] = 20
    large, small = find_lymph_nodes(ct.with_voxels(voxels), segmentation).nodes
    assert large.core is not None
    assert (large.core.fatty, large.core.necrotic) == pytest.approx((0.18, 0.18), abs=0.02)  # caps of a ball
    assert small.core is None
