"""Draws the pictures of docs/growth-patterns.md: a simulated liver, and rings on a real CT; make_images.py calls it.

The CT is case 1004 of the collection Colorectal-Liver-Metastases, doi 10.7937/QXK2-QG03, CC BY 4.0. The ellipsoid on it
was placed by hand where a small dark spot is seen; nobody has said that it is a metastasis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from preop.imaging import Image, crop, read_image, resample_like

CENTRE_MM = (-107.5, 34.5, -270.0)
SEMI_AXES_MM = (10.0, 9.0, 8.0)
WINDOW_HU = (0.0, 200.0)
PIXELS_PER_MM = 6
COLOURS = {"core": (70, 130, 180), "inner_ring": (240, 150, 40), "outer_ring": (120, 190, 90)}
SEED = 2


def liver_pictures(ct: Path, folder: Path) -> None:
    """Draw all pictures into a folder."""
    scan = read_image(ct)
    _write(folder / "growth-rings.png", rings(scan))
    _write(folder / "growth-simulation.png", simulated())


def hand_placed_ellipsoid(ct: Image) -> Image:
    """Mask of the ellipsoid on the grid of the CT."""
    index = np.indices(ct.shape).reshape(3, -1).T
    offsets = (ct.geometry.world_mm(index) - CENTRE_MM) / SEMI_AXES_MM
    inside = (offsets**2).sum(axis=1) <= 1
    return ct.with_voxels(inside.reshape(ct.shape).astype(np.uint8))


def rings(ct: Image) -> NDArray[np.uint8]:
    """Show the slice through the ellipsoid, as it is and with core and rings."""
    from scipy import ndimage

    from liver_growth_pattern.lesions import surroundings

    mask = hand_placed_ellipsoid(ct)
    (box,) = ndimage.find_objects(mask.voxels)
    around = surroundings(ct, mask.with_voxels(mask.voxels.astype(np.int32)), 1, box, None)
    middle = around.density.shape[0] // 2
    grey = _grey(around.density.voxels[middle] + around.liver_hu)
    plain = _enlarged(grey)
    drawn = plain.astype(np.float64)
    for name, colour in COLOURS.items():
        region = np.kron(around.region(name)[middle], np.ones((PIXELS_PER_MM,) * 2)) > 0
        drawn[region] = 0.55 * drawn[region] + 0.45 * np.array(colour)
    return _side_by_side([plain, drawn.astype(np.uint8)])


def simulated() -> NDArray[np.uint8]:
    """Show a metastasis of each pattern and a mixed one."""
    from dataclasses import replace

    from liver_growth_pattern.simulation import CENTRES, Metastases, PatientFacts, draw_patient, draw_reports

    columns = []
    for shares in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.4, 0.4, 0.2)):
        one: dict[str, Any] = {
            "radius_mm": 15.0,
            "capsule_mm": 2.8,
            "capsule_hu": 18.0,
            "infiltration_mm": 5.0,
            "roughness_mm": 1.8,
            "displacement_mm": 7.0,
            "edge_mm": 1.5,
            "halo_hu": 0.0,
            "centre_hu": -52.0,
            "rim_hu": -34.0,
            "texture_hu": 6.0,
        }
        metastases = Metastases(np.array([shares]), **{name: np.array([value]) for name, value in one.items()})
        centre = replace(CENTRES[0], name="picture")
        reports = draw_reports(np.random.default_rng(0), metastases)
        patient = draw_patient(
            SEED, 0, only_around=True, facts=PatientFacts(centre, metastases, reports, True, "reader")
        )
        columns.append(_view(patient.ct, patient.centres_mm[0]))
    return _side_by_side(columns)


def _view(ct: Image, centre_mm: NDArray[Any]) -> NDArray[np.uint8]:
    """A square of 56 mm around a place, in its slice."""
    from preop.imaging import Geometry

    x, y, z = (float(value) for value in centre_mm)
    grid = Geometry.axis_aligned((1, 112, 112), (ct.spacing_mm[0], 0.5, 0.5), (x - 28, y - 28, z))
    near = tuple(slice(0, size) for size in ct.shape)
    seen = resample_like(crop(ct, near), grid, interpolation="linear", outside=-1024).voxels[0]
    return np.kron(_grey(seen), np.ones((3, 3), dtype=np.uint8))[..., None].repeat(3, axis=2)


def _grey(hu: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = WINDOW_HU
    return np.asarray(np.clip((hu - low) * 255 / (high - low), 0, 255), dtype=np.uint8)


def _enlarged(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    large = np.kron(grey, np.ones((PIXELS_PER_MM,) * 2, dtype=np.uint8))
    return large[..., None].repeat(3, axis=2)


def _side_by_side(views: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((views[0].shape[0], 10, 3), 255, dtype=np.uint8)
    parts = [part for view in views for part in (view, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(path))
