"""Draws the lymph node stations of a real person for docs/stations.md; make_images.py calls it.

The labels are those of subject s0011 of the TotalSegmentator data set, doi 10.5281/zenodo.6802613, CC BY 4.0.
"""

from __future__ import annotations

import base64
import colorsys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import vl_convert
from numpy.typing import NDArray

from preop.anatomy import STATIONS, Organs, StationMap, map_stations
from preop.anatomy.organs import LUNGS
from preop.imaging import read_image

PIXELS_PER_VOXEL = 4
SMALLEST_NAMED_VOXELS = 14
WHITE, LUNG, BONE = (255, 255, 255), (226, 232, 242), (205, 205, 205)
ORGANS = {
    ("trachea",): (150, 205, 235),
    ("esophagus",): (190, 160, 130),
    ("aorta", "brachiocephalic_trunk", "common_carotid_artery_left"): (235, 165, 160),
    ("heart",): (236, 214, 210),
    ("superior_vena_cava", "brachiocephalic_vein_left", "brachiocephalic_vein_right", "pulmonary_vein"): (
        165,
        170,
        225,
    ),
}
NUMBERS = ("1", "2", "3a", "3p", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14")
HUES = dict(
    zip(NUMBERS, (0.08, 0.60, 0.50, 0.46, 0.07, 0.88, 0.77, 0.99, 0, 0.19, 0.13, 0.36, 0.3, 0.27, 0.24), strict=True)
)
SATURATIONS = {"1": 0.55, "8": 0.0, "11": 0.75, "12": 0.55, "13": 0.32, "14": 0.16}
VALUES = {"1": 0.62, "2": 0.80, "8": 0.52, "9": 0.75, "11": 0.65, "13": 0.92, "14": 0.96}


def station_pictures(labels: Path, folder: Path) -> None:
    """Draw axial, coronal and sagittal slices into a folder."""
    stations = map_stations(Organs(read_image(labels)))
    carina_x, carina_y, carina_z = stations.landmarks.carina
    marks = stations.landmarks
    levels = [
        ("thoracic inlet", marks.manubrium_top + 9),
        ("above the arch", marks.arch_top + 12),
        ("arch, upper half", marks.arch_top - 6),
        ("arch, lower half", marks.arch_bottom + 7),
        ("aortopulmonary window", marks.arch_bottom - 3),
        ("between azygos and carina", carina_z + 5),
        ("under the carina", carina_z - 8),
        ("at the left lower lobe bronchus", marks.left_lower_lobe_bronchus_top - 4),
        ("at the oesophagus, under the hila", marks.inferior_vein_right - 12),
    ]
    _write(folder / "stations-axial.png", [_axial(stations, title, z) for title, z in levels], columns=3)
    depths = [("18 mm before the carina", -18), ("at the carina", 0), ("14 mm behind the carina", 14)]
    _write(folder / "stations-coronal.png", [_coronal(stations, t, carina_y + y) for t, y in depths], columns=3)
    sides = [("14 mm right of the carina", -14), ("at the carina", 0), ("22 mm left of the carina", 22)]
    _write(folder / "stations-sagittal.png", [_sagittal(stations, t, carina_x + x) for t, x in sides], columns=3)


def _axial(stations: StationMap, title: str, z: float) -> tuple[str, NDArray[Any], NDArray[Any], list[Any]]:
    """Slice seen from below, front on top: right of the patient on the left."""
    thorax = stations.thorax
    index = _nearest(thorax.z, z)
    rows, columns = _around(thorax.y, -95, 50, stations, 1), _around(thorax.x, -75, 75, stations, 0)
    picture = _coloured(stations, lambda voxels: voxels[index][rows][:, columns])
    return title, *picture, []


def _coronal(stations: StationMap, title: str, y: float) -> tuple[str, NDArray[Any], NDArray[Any], list[Any]]:
    """Slice seen from the front, with the levels that part stations."""
    thorax = stations.thorax
    index, columns = _nearest(thorax.y, y), _around(thorax.x, -85, 85, stations, 0)
    rows = _around(thorax.z, -130, 110, stations, 2)[::-1]
    picture = _coloured(stations, lambda voxels: voxels[:, index][rows][:, columns])
    return title, *picture, _levels(stations, rows)


def _sagittal(stations: StationMap, title: str, x: float) -> tuple[str, NDArray[Any], NDArray[Any], list[Any]]:
    """Slice seen from the left, front on the left."""
    thorax = stations.thorax
    index, columns = _nearest(thorax.x, x), _around(thorax.y, -110, 60, stations, 1)
    rows = _around(thorax.z, -130, 110, stations, 2)[::-1]
    picture = _coloured(stations, lambda voxels: voxels[:, :, index][rows][:, columns])
    return title, *picture, _levels(stations, rows)


def _levels(stations: StationMap, rows: NDArray[Any]) -> list[tuple[str, float]]:
    """Names of levels and their rows."""
    marks = stations.landmarks
    heights = stations.thorax.z[rows]
    named = {
        "apex of the right lung": marks.apex_right,
        "manubrium": marks.manubrium_top,
        "top of the arch": marks.arch_top,
        "brachiocephalic vein": marks.vein_crossing,
        "underside of the arch": marks.arch_bottom,
        "left pulmonary artery, azygos": marks.left_artery_top,
        "carina": marks.carina[2],
        "left lower lobe bronchus": marks.left_lower_lobe_bronchus_top,
        "bronchus intermedius": marks.bronchus_intermedius_bottom,
        "right inferior pulmonary vein": marks.inferior_vein_right,
        "hiatus": marks.hiatus,
    }
    return [(name, float(np.argmin(np.abs(heights - height)))) for name, height in named.items()]


def _nearest(positions: NDArray[Any], wanted: float) -> int:
    return int(np.argmin(np.abs(positions - wanted)))


def _around(positions: NDArray[Any], low: float, high: float, stations: StationMap, axis: int) -> NDArray[Any]:
    """Indices within mm of the carina along an axis."""
    offset = positions - stations.landmarks.carina[axis]
    return np.flatnonzero((offset >= low) & (offset <= high))


def _coloured(stations: StationMap, cut: Callable[[NDArray[Any]], NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Colours (rows, columns, 3) and station labels (rows, columns) of a slice."""
    thorax = stations.thorax
    organs, labels = cut(thorax.labels.voxels), cut(stations.labels.voxels)
    colours = np.full((*organs.shape, 3), WHITE, dtype=np.uint8)
    colours[organs > 0] = BONE
    colours[cut(thorax.mask(*LUNGS))] = LUNG
    for names, colour in ORGANS.items():
        colours[cut(thorax.mask(*names))] = colour
    for label, name in enumerate(STATIONS, 1):
        colours[labels == label] = station_colour(name)
    return colours, labels


def station_colour(name: str) -> tuple[int, int, int]:
    """One hue a station, the left side darker."""
    number = name.rstrip("RL")
    value = VALUES.get(number, 0.92) * (0.8 if name.endswith("L") else 1.0)
    red, green, blue = colorsys.hsv_to_rgb(HUES[number], SATURATIONS.get(number, 0.7), value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _write(
    path: Path, panels: Sequence[tuple[str, NDArray[Any], NDArray[Any], list[tuple[str, float]]]], columns: int
) -> None:
    """Lay panels out in rows, with titles, names of stations, levels and a legend."""
    scale, gap, head = PIXELS_PER_VOXEL, 10, 20
    margin = 150 if panels[0][3] else 0
    height, width = (size * scale for size in panels[0][1].shape[:2])
    parts = []
    for number, (title, colours, labels, levels) in enumerate(panels):
        left = margin + (number % columns) * (width + gap)
        top = head + (number // columns) * (height + head + gap)
        parts.append(_text(left, top - 6, title, size=14, anchor="start"))
        parts.append(
            f'<image x="{left}" y="{top}" width="{width}" height="{height}" href="{_data_uri(colours, scale)}"/>'
        )
        for place, (row, name) in enumerate(_spread([(row * scale + top, name) for name, row in levels])):
            true = top + sorted(row for _, row in levels)[place] * scale
            parts.append(
                f'<path d="M{left} {true}H{left + width}" stroke="#333" stroke-width="0.6" stroke-dasharray="3 4"/>'
            )
            if number == 0:
                parts.append(_text(margin - 6, row + 4, name, size=11, anchor="end"))
        parts += [_text(left + x * scale, top + y * scale + 4, name, size=11) for x, y, name in _names(labels)]
    rows = -(-len(panels) // columns)
    total_width, foot = margin + columns * (width + gap), rows * (height + head + gap) + 8
    parts += _legend(total_width, foot)
    total_height = foot + 48
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="{total_height}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )
    path.write_bytes(_few_colours(vl_convert.svg_to_png(svg)))


def _names(labels: NDArray[Any]) -> list[tuple[float, float, str]]:
    """Where to write the name of each station that is large enough: its innermost point."""
    from scipy import ndimage

    places = []
    for label in np.unique(labels[labels > 0]):
        inside = labels == label
        if inside.sum() >= SMALLEST_NAMED_VOXELS:
            depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(int(depth.argmax()), depth.shape)
            places.append((x + 0.5, y + 0.5, STATIONS[label - 1]))
    return places


def _spread(rows: list[tuple[float, str]], apart: float = 13.0) -> list[tuple[float, str]]:
    """Move names of levels apart, so that they can be read."""
    spread: list[tuple[float, str]] = []
    for row, name in sorted(rows):
        spread.append((max(row, spread[-1][0] + apart) if spread else row, name))
    return spread


def _legend(width: int, top: int) -> list[str]:
    """A swatch for every station."""
    step = width / 14
    parts = []
    for number, name in enumerate(STATIONS):
        x, y = (number % 14) * step + 4, top + (number // 14) * 20
        red, green, blue = station_colour(name)
        parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="rgb({red},{green},{blue})"/>')
        parts.append(_text(x + 18, y + 12, name, size=12, anchor="start"))
    return parts


def _text(x: float, y: float, text: str, *, size: int, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-family="sans-serif" font-size="{size}" text-anchor="{anchor}">{text}</text>'


def _data_uri(colours: NDArray[Any], scale: int) -> str:
    large = np.repeat(np.repeat(colours, scale, axis=0), scale, axis=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.png"
        sitk.WriteImage(sitk.GetImageFromArray(large, isVector=True), str(path))
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _few_colours(png: bytes) -> bytes:
    """Write a picture without transparency, compressed as far as it goes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(png)
        picture = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3]
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.UseCompressionOn()
        writer.SetCompressionLevel(9)
        writer.Execute(sitk.GetImageFromArray(np.ascontiguousarray(picture), isVector=True))
        return path.read_bytes()
