"""A thorax of simple shapes, in which every border is known, and the real one of the public data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.anatomy import STATIONS, TOTAL_CLASSES, Organs, StationMap, Thorax, map_stations
from preop.imaging import Geometry, Image, read_image

SPACING = 1.5
LOW, HIGH = np.array([-96.0, -90.0, -126.0]), np.array([96.0, 66.0, 129.0])

# Heights of the simple thorax in mm; its carina is the origin.
ARCH_TOP, ARCH_BOTTOM, LEFT_ARTERY_TOP, VEIN_CROSSING = 40.0, 15.0, 9.0, 55.5
RIGHT_APEX, LEFT_APEX, MANUBRIUM_TOP, TRACHEA_TOP = 99.0, 90.0, 75.0, 111.0
RIGHT_VEIN, LEFT_VEIN = (-60.0, -51.0), (-54.0, -45.0)
LEFT_BRONCHUS_END, OESOPHAGUS_END = -27.0, -111.0


def simple_labels() -> Image:
    """Label map along the patient's axes: x to the left, y to the back, z to the head."""
    shape = tuple(int(n) for n in np.rint((HIGH - LOW) / SPACING)[::-1] + 1)
    geometry = Geometry.axis_aligned(shape, (SPACING,) * 3, tuple(LOW.tolist()))
    z, y, x = (
        axis.astype(float)
        for axis in np.meshgrid(*(LOW[i] + SPACING * np.arange(shape[2 - i]) for i in (2, 1, 0)), indexing="ij")
    )
    labels = np.zeros(shape, dtype=np.uint8)

    def paint(name: str, where: NDArray[np.bool_]) -> None:
        labels[where] = TOTAL_CLASSES[name]

    def box(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> NDArray[np.bool_]:
        return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1) & (z >= z0) & (z <= z1)

    def tube(x0: float, y0: float, radius: float, z0: float, z1: float) -> NDArray[np.bool_]:
        return ((x - x0) ** 2 + (y - y0) ** 2 <= radius**2) & (z >= z0) & (z <= z1)

    right, left = box(-95, -35, -70, 60, -120, RIGHT_APEX), box(35, 95, -70, 60, -120, LEFT_APEX)
    paint("lung_upper_lobe_right", right & (z > -10))
    paint("lung_middle_lobe_right", right & (z <= -10) & (y < 0))
    paint("lung_lower_lobe_right", right & (z <= -10) & (y >= 0))
    paint("lung_upper_lobe_left", left & (z > -30))
    paint("lung_lower_lobe_left", left & (z <= -30))
    paint("vertebrae_T5", box(-16, 16, 32, 60, -126, 129))
    paint("esophagus", box(-6, 6, 14, 24, OESOPHAGUS_END, 111))
    paint("heart", box(-30, 30, -60, -14, -100, -40) | box(6, 30, -27, -12, -40, LEFT_ARTERY_TOP))
    for share in np.linspace(0, 1, 60):  # The arch bows out to the left, from the front to the back.
        arch = (1 - share) ** 2 * np.array([-4, -40]) + 2 * share * (1 - share) * np.array([32, -18])
        arch = arch + share**2 * np.array([24, 18])
        paint("aorta", tube(arch[0], arch[1], 6, ARCH_BOTTOM, ARCH_TOP))
    paint("aorta", tube(-4, -40, 10, -40, ARCH_TOP) | tube(24, 18, 8, -120, ARCH_TOP))
    paint("trachea", box(-8, 8, -8, 8, 0.5, TRACHEA_TOP))
    paint("trachea", (np.abs(x + 8 - 0.6 * z) <= 5) & (np.abs(y) <= 6) & (z <= 0) & (z >= -25))
    paint("trachea", (np.abs(x - 8 + 1.2 * z) <= 5) & (np.abs(y) <= 6) & (z <= 0) & (z >= LEFT_BRONCHUS_END))
    paint("superior_vena_cava", tube(-18, -25, 6, -20, 50))
    paint("brachiocephalic_vein_right", tube(-18, -25, 6, 51, 90))
    paint("common_carotid_artery_left", tube(12, -22, 4, 41, 111))
    paint("brachiocephalic_vein_left", box(-18, 20, -40, -32, 40, 90) & (np.abs(z - 60 - 0.5 * x) <= 5))
    paint("pulmonary_vein", box(-32, -15, 2, 10, *RIGHT_VEIN) | box(15, 32, 2, 10, *LEFT_VEIN))
    paint("pulmonary_vein", box(-32, -15, -13, -11, -33, -27) | box(15, 32, -13, -11, -33, -27))
    paint("sternum", box(-25, 25, -80, -72, -40, MANUBRIUM_TOP))
    paint("clavicula_right", box(-80, -20, -78, -72, 78, 88))
    paint("clavicula_left", box(20, 80, -78, -72, 78, 88))
    return Image(labels, geometry)


Box = tuple[float, float, float, float, float, float]


def thorax_of_boxes(organs: dict[str, list[Box]], low: float = -60, high: float = 60) -> Thorax:
    """Thorax of a few boxes (x0, x1, y0, y1, z0, z1 in mm) in a cube, on the grid on which stations are mapped."""
    axis = np.arange(low, high + SPACING / 2, SPACING)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    labels = np.zeros((axis.size,) * 3, dtype=np.uint8)
    for name, boxes in organs.items():
        for x0, x1, y0, y1, z0, z1 in boxes:
            where = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1) & (z >= z0) & (z <= z1)
            labels[where] = TOTAL_CLASSES[name]
    geometry = Geometry.axis_aligned(labels.shape, (SPACING,) * 3, (low, low, low))
    return Thorax(Image(labels, geometry), TOTAL_CLASSES, ends_below=low, ends_above=high)


def station_at(point: tuple[float, float, float], stations: StationMap) -> str:
    """Station of the voxel at a point (x, y, z) in mm; empty where there is none."""
    labels = stations.labels
    index = np.rint(labels.geometry.index_zyx(np.array([point]))[0]).astype(int)
    label = int(labels.voxels[tuple(index)])
    return STATIONS[label - 1] if label else ""


@pytest.fixture(scope="session")
def simple() -> Image:
    return simple_labels()


@pytest.fixture(scope="session")
def simple_map(simple: Image) -> StationMap:
    return map_stations(Organs(simple))


@pytest.fixture(scope="session")
def real(data: Path) -> Image:
    path = data / "anatomy" / "thorax_totalsegmentator_labels.nii.gz"
    if not path.is_file():
        pytest.skip(f"the labels of a real thorax are not at {path}; see docs/data.md")
    return read_image(path)


@pytest.fixture(scope="session")
def real_map(real: Image) -> StationMap:
    return map_stations(Organs(real))
