"""An outline runs between inside and outside voxels, through the middle of their sides, and says where by whole numbers."""

import re

import numpy as np
import pytest

from preop.report.case.outlines import label_place, outline


def corners(path: str) -> list[list[tuple[int, int]]]:
    """The corners of each closed way of a path, in half pixels."""
    ways = []
    for way in re.findall(r"M(\d+) (\d+)l([^z]*)z", path):
        x, y = int(way[0]), int(way[1])
        points = [(x, y)]
        steps = list(map(int, way[2].split()))
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
        ways.append(points)
    return ways


def enclosed(points: list[tuple[int, int]]) -> float:
    """Area in pixels by the shoelace formula, positive where the way is clockwise on the screen."""
    turned = [*points[1:], points[0]]
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(points, turned, strict=True)) / 2 / 4


def test_one_pixel_is_a_diamond_around_its_centre() -> None:
    mask = np.zeros((4, 5))
    mask[2, 3] = 1
    (points,) = corners(outline(mask))
    assert sorted(points) == [(6, 5), (7, 4), (7, 6), (8, 5)]


def test_a_rectangle_has_its_corners_cut_and_no_point_too_many() -> None:
    mask = np.zeros((6, 7))
    mask[1:4, 2:6] = 1
    (points,) = corners(outline(mask))
    assert len(points) == 8
    # Twelve pixels, less an eighth of a pixel at each of four corners.
    assert enclosed(points) == pytest.approx(12 - 4 / 8)


def test_a_hole_has_a_way_of_its_own_the_other_way_round() -> None:
    mask = np.ones((5, 5))
    mask[2, 2] = 0
    areas = sorted(enclosed(points) for points in corners(outline(mask)))
    assert areas == pytest.approx([-0.5, 25 - 0.5])


def test_parts_that_touch_at_a_corner_are_apart() -> None:
    assert len(corners(outline(np.eye(2)))) == 2


def test_what_was_cut_out_lies_where_it_was() -> None:
    mask = np.zeros((9, 9))
    mask[4:7, 3:5] = 1
    assert outline(mask[4:7, 3:5], (4, 3)) == outline(mask)


def test_any_mask_gives_closed_ways_around_all_its_pixels() -> None:
    mask = np.random.default_rng(0).random((40, 30)) > 0.5
    sides = sum(np.abs(np.diff(np.pad(mask, 1).astype(int), axis=axis)).sum() for axis in (0, 1))
    ways = corners(outline(mask))
    # Green's theorem on the uncut sides: each pixel counts once; every cut corner takes or gives an eighth.
    assert abs(sum(map(enclosed, ways)) - mask.sum()) <= sides / 8
    assert outline(np.zeros((3, 3))) == ""


def test_a_name_stands_on_a_pixel_of_what_it_names() -> None:
    ring = np.ones((7, 7), bool)
    ring[2:5, 2:5] = False
    x, y = label_place(ring)
    assert ring[int(y / 2), int(x / 2)]
