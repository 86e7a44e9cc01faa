"""Slices are shown the usual way round with the right letters, whatever order and direction a scan is stored in."""

import math

import numpy as np
import pytest

from preop.imaging import Geometry, Image, reorient
from preop.report.case.content import LUNG, Window
from preop.report.case.planes import (
    Letters,
    as_displayed,
    bar_in_words,
    bar_mm,
    letters_of,
    plane_of,
    slice_through,
    to_grey,
)


def scan(code: str = "LPS", spacing_mm: tuple[float, float, float] = (5.0, 1.0, 1.0)) -> Image:
    """A scan with one bright voxel on the patient's right, in front, near the feet, stored in any order of axes."""
    voxels = np.zeros((4, 6, 8), np.float32)
    voxels[0, 1, 2] = 1
    return reorient(Image(voxels, Geometry.axis_aligned((4, 6, 8), spacing_mm)), code)


@pytest.mark.parametrize("code", ["LPS", "RAS", "LAI", "RPI", "SLP", "PIL"])
def test_an_axial_scan_is_seen_from_the_feet_however_it_is_stored(code: str) -> None:
    stored = scan(code)
    assert plane_of(stored.geometry) == "axial"
    shown = as_displayed(stored, "axial")
    assert letters_of(shown.geometry) == Letters(left="R", right="L", top="A", bottom="P")
    # The patient's right is on the left, the front above, the slice near the feet the last.
    assert np.argwhere(shown.voxels).tolist() == [[3, 1, 2]]


def test_a_coronal_scan_has_the_head_above() -> None:
    stored = scan("LIP", spacing_mm=(1.0, 5.0, 1.0))
    assert plane_of(stored.geometry) == "coronal"
    assert letters_of(as_displayed(stored, "coronal").geometry) == Letters("R", "L", "H", "F")


def test_a_sagittal_scan_looks_to_the_left() -> None:
    stored = scan("PIL", spacing_mm=(1.0, 1.0, 5.0))
    assert plane_of(stored.geometry) == "sagittal"
    assert letters_of(as_displayed(stored, "sagittal").geometry) == Letters("A", "P", "H", "F")


def turned_about_z(degrees: float) -> Geometry:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return Geometry((4, 6, 8), (5.0, 1.0, 1.0), (0.0, 0.0, 0.0), (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, -1.0))


def test_an_oblique_scan_has_two_letters_the_nearer_one_first() -> None:
    assert letters_of(turned_about_z(30)) == Letters("RA", "LP", "AL", "PR")
    assert letters_of(turned_about_z(10)) == Letters("R", "L", "A", "P")


def test_a_place_is_found_in_the_displayed_slices() -> None:
    stored = scan("RAS")
    bright = stored.geometry.world_mm(np.argwhere(stored.voxels))[0].tolist()
    number, row, column = slice_through(as_displayed(stored, "axial").geometry, tuple(bright))
    assert number == 3
    assert (row, column) == pytest.approx((1, 2))


def test_a_window_runs_from_black_to_white_and_an_inverted_one_back() -> None:
    values = np.array([-2000.0, LUNG.low, -600.0, LUNG.high, 2000.0])
    assert to_grey(values, LUNG).tolist() == [0, 0, 128, 255, 255]
    assert to_grey(np.array([0.0, 7.0]), Window("SUV", 0, 7, inverted=True)).tolist() == [255, 0]


@pytest.mark.parametrize(
    ("width_mm", "words"), [(400.0, "10 cm"), (150.0, "2 cm"), (30.0, "5 mm"), (2.0, "500 µm"), (0.2, "50 µm")]
)
def test_a_bar_is_a_round_length_and_no_longer_than_a_third(width_mm: float, words: str) -> None:
    length = bar_mm(width_mm)
    assert length <= 0.3 * width_mm
    assert bar_in_words(length) == words
