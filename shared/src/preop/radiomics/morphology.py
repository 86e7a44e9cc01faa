"""Size and shape of a region (IBSI reference manual, section "Morphological features").

Surface and volume are those of the mesh that marching cubes lays halfway between the voxels inside and outside. Such
a mesh is made of 256 kinds of cubes, so both are a count of the kinds times the surface and volume of each.
"""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.preparation import Mask, RegionOfInterest

Points = NDArray[np.float64]

_CORNERS = tuple(itertools.product((0, 1), repeat=3))  # (z, y, x); the corner's number is its bits


def shape(region: RegionOfInterest) -> dict[str, float]:
    """Compute the features ``morph_*`` but the autocorrelation; axis ratios of a flat region and the like are NaN."""
    volume, area = mesh_volume_and_area(region.morphological, region.spacing_mm)
    surface = outermost_mesh_points(region.morphological, region.spacing_mm)
    return {
        **_size(region, volume, area),
        **_likeness_to_a_sphere(volume, area),
        **_axes(region, volume, area),
        **_enclosing(surface, volume, area),
        "morph_com": _centre_of_mass_shift_mm(region),
        "morph_integ_int": float(region.values.mean()) * volume,
    }


def _size(region: RegionOfInterest, volume: float, area: float) -> dict[str, float]:
    return {
        "morph_volume": volume,
        "morph_vol_approx": int(region.morphological.sum()) * region.geometry.voxel_volume_mm3,
        "morph_area_mesh": area,
        "morph_av": area / volume,
    }


def _likeness_to_a_sphere(volume: float, area: float) -> dict[str, float]:
    sphere = 36 * math.pi * volume**2
    return {
        "morph_comp_1": volume / (math.sqrt(math.pi) * area**1.5),
        "morph_comp_2": sphere / area**3,
        "morph_sph_dispr": area / sphere ** (1 / 3),
        "morph_sphericity": sphere ** (1 / 3) / area,
        "morph_asphericity": (area**3 / sphere) ** (1 / 3) - 1,
    }


def _axes(region: RegionOfInterest, volume: float, area: float) -> dict[str, float]:
    """Principal axes of the voxel centres, and the ellipsoid that they span."""
    n = int(np.count_nonzero(region.morphological))
    first, second = _moments(region.morphological)
    # In whole numbers, which lose nothing however far the region is from the first voxel.
    scatter = [[n * int(second[i, j]) - int(first[i]) * int(first[j]) for j in range(3)] for i in range(3)]
    covariance = (
        np.array(scatter, dtype=np.float64) / max(n * (n - 1), 1) * np.outer(region.spacing_mm, region.spacing_mm)
    )
    variances = np.linalg.eigvalsh(covariance)
    c, b, a = 2 * np.sqrt(np.maximum(variances, 0))
    return {
        "morph_pca_maj_axis": float(2 * a),
        "morph_pca_min_axis": float(2 * b),
        "morph_pca_least_axis": float(2 * c),
        "morph_pca_elongation": _ratio(b, a),
        "morph_pca_flatness": _ratio(c, a),
        "morph_vol_dens_aee": _ratio(volume, 4 / 3 * math.pi * a * b * c),
        "morph_area_dens_aee": _ratio(area, _ellipsoid_area(a, b, c)),
    }


def _ellipsoid_area(a: float, b: float, c: float) -> float:
    """Surface of an ellipsoid with semi-axes a >= b >= c by the standard's series of 20 Legendre polynomials.

    The series is not the exact surface (4 % less for the digital phantom), but what the reference values rest on. Its
    terms are polynomials in the squared eccentricities, so that equal axes divide nothing by 0.
    """
    if a == 0:
        return 0.0
    alpha2, beta2 = 1 - (b / a) ** 2, 1 - (c / a) ** 2
    term, following = 1.0, (alpha2 + beta2) / 2
    total = 0.0
    for n in range(21):
        total += term / (1 - 4 * n**2)
        after = ((2 * n + 3) * (alpha2 + beta2) / 2 * following - (n + 1) * alpha2 * beta2 * term) / (n + 2)
        term, following = following, after
    return 4 * math.pi * a * b * total


def _enclosing(surface: Points, volume: float, area: float) -> dict[str, float]:
    """Largest diameter, and how much of the boxes, the ellipsoid and the convex hull around it the region fills."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    # The compiler behind the loops takes a third of a second to import.
    from preop.radiomics import hulls

    hull = ConvexHull(surface)
    corners = surface[hull.vertices]
    number = np.zeros(len(surface), dtype=np.int32)
    number[hull.vertices] = np.arange(len(corners))
    normals = np.ascontiguousarray(hull.equations[:, :3])
    oriented = hulls.smallest_box_sides(corners, number[hull.simplices], hull.neighbors, normals)
    # The squares of the semi-axes are the moments' principal values times the number of dimensions.
    c, b, a = np.sqrt(3 * np.linalg.eigvalsh(hulls.ellipsoid_moments(corners))).tolist()
    return {
        "morph_diam": float(pdist(corners).max()),
        **_box_densities("aabb", np.ptp(corners, axis=0), volume, area),
        **_box_densities("ombb", oriented, volume, area),
        "morph_vol_dens_mvee": volume / (4 / 3 * math.pi * a * b * c),
        "morph_area_dens_mvee": area / _ellipsoid_area(a, b, c),
        "morph_vol_dens_conv_hull": volume / hull.volume,
        "morph_area_dens_conv_hull": area / hull.area,
    }


def _box_densities(box: str, sides: NDArray[np.float64], volume: float, area: float) -> dict[str, float]:
    z, y, x = sides.tolist()
    return {
        f"morph_vol_dens_{box}": volume / (z * y * x),
        f"morph_area_dens_{box}": area / (2 * (z * y + z * x + y * x)),
    }


def _centre_of_mass_shift_mm(region: RegionOfInterest) -> float:
    """Distance between the region's centre and its centre weighted by intensity."""
    spacing = np.asarray(region.spacing_mm)
    centre = _moments(region.morphological)[0] / np.count_nonzero(region.morphological)
    present = np.where(region.intensity, region.intensities, 0.0)
    total = present.sum()
    if total == 0:
        return math.nan
    by_slice, by_row = present.sum(axis=2), present.sum(axis=(0, 1))
    along = (by_slice.sum(axis=1), by_slice.sum(axis=0), by_row)
    weighted = np.array([np.arange(sums.size) @ sums for sums in along]) / total
    return float(np.linalg.norm((centre - weighted) * spacing))


def _moments(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What ``kernels.moments`` finds."""
    from preop.radiomics import kernels

    return kernels.moments(mask)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else math.nan


# Mesh


def mesh_volume_and_area(mask: Mask, spacing_mm: tuple[float, ...]) -> tuple[float, float]:
    """Volume (mm3) and surface (mm2) of the marching cubes mesh of a mask."""
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    counts = kernels.cube_kinds(np.pad(mask, 1))
    volumes, triangles, kinds = _marching_cubes()
    areas = _areas(triangles * np.asarray(spacing_mm))
    return float(counts @ volumes * np.prod(spacing_mm)), float(counts[kinds] @ areas)


def outermost_mesh_points(mask: Mask, spacing_mm: tuple[float, ...]) -> Points:
    """Points (n, 3) in mm, z y x, of the mesh that hold all corners of its convex hull.

    Mesh points lie halfway between a voxel inside and its neighbour outside along an axis; of those on one line of
    voxels, only the first and the last can be a corner of the hull.
    """
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    points = []
    for axis in range(3):
        first, last = kernels.line_ends(mask, axis) if axis < 2 else _row_ends(mask)
        some = last >= 0
        for end, sense in ((last, 1), (-first, -1)):
            # Nor can one be that lies between its neighbours, or below the line that joins them.
            height = np.pad(np.where(some, end.astype(np.float64), -np.inf), 1, constant_values=-np.inf)
            own = height[1:-1, 1:-1]
            kept = (
                some
                & (2 * own > height[:-2, 1:-1] + height[2:, 1:-1])
                & (2 * own > height[1:-1, :-2] + height[1:-1, 2:])
            )
            points.append(np.insert(np.argwhere(kept).astype(np.float64), axis, sense * (own[kept] + 0.5), axis=1))
    return np.asarray(np.concatenate(points) * np.asarray(spacing_mm))


def _row_ends(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """What ``kernels.line_ends`` finds, along the third axis."""
    some = mask.any(axis=2)
    last = mask.shape[2] - 1 - mask[:, :, ::-1].argmax(axis=2)
    return np.where(some, mask.argmax(axis=2), -1), np.where(some, last, -1)


@cache
def _marching_cubes() -> tuple[NDArray[np.float64], Points, NDArray[np.intp]]:
    """Volume inside each of the 256 unit cubes; all their triangles (n, 3, 3); the kind each triangle belongs to."""
    volumes = np.zeros(256)
    triangles: list[Points] = []
    kinds: list[int] = []
    for kind in range(256):
        inside = {corner for number, corner in enumerate(_CORNERS) if kind >> number & 1}
        segments: list[tuple[Points, Points]] = []
        for axis, side in itertools.product(range(3), (0, 1)):
            face_segments, face_area = _face(inside, axis, side)
            segments += face_segments
            # Divergence theorem with the field r/3, whose flux through the faces at 0 is nothing.
            volumes[kind] += side * face_area / 3
        for polygon in _loops(segments):
            fan = _largest_fan(polygon)
            triangles += list(fan)
            kinds += [kind] * len(fan)
            volumes[kind] += np.linalg.det(fan).sum() / 6
    return volumes, np.array(triangles), np.array(kinds)


def _face(inside: set[tuple[int, ...]], axis: int, side: int) -> tuple[list[tuple[Points, Points]], float]:
    """Where the surface cuts one face of a unit cube, with the inside on its left seen from outside, and area inside.

    Two corners inside that touch only across the face's diagonal are kept apart.
    """
    u, v = [other for other in range(3) if other != axis]
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    # (z, y, x) is a left-handed order and each second axis turns the sense, so that the walk is always anticlockwise.
    if (side == 1) == (axis != 1):
        square.reverse()
    corners = []
    for du, dv in square:
        corner = [0, 0, 0]
        corner[axis], corner[u], corner[v] = side, du, dv
        corners.append(tuple(corner))
    flags = [corner in inside for corner in corners]
    middles = [(np.array(corners[i]) + np.array(corners[(i + 1) % 4])) / 2 for i in range(4)]
    enters = [i for i in range(4) if not flags[i] and flags[(i + 1) % 4]]
    segments = []
    for i in enters:
        leave = next((i + k) % 4 for k in range(1, 4) if not flags[(i + k + 1) % 4])
        segments.append((middles[leave], middles[i]))
    area = {0: 0.0, 1: 1 / 8, 2: 1 / 4 if len(enters) == 2 else 1 / 2, 3: 7 / 8, 4: 1.0}[sum(flags)]
    return segments, area


def _loops(segments: list[tuple[Any, Any]]) -> list[list[Any]]:
    """Join directed segments to closed polygons."""
    following = {tuple(start): end for start, end in segments}
    loops = []
    while following:
        start, end = next(iter(following.items()))
        loop = []
        while start in following:
            end = following.pop(start)
            loop.append(end)
            start = tuple(end)
        loops.append(loop)
    return loops


def _largest_fan(polygon: list[Points]) -> Points:
    """Triangles (n, 3, 3) from one corner of a polygon to all others, which have the largest area.

    The polygon is not flat, so that its triangles decide the area; these are those of the tables in common use
    (Lorensen and Cline, doi 10.1145/37402.37422), which gave the standard's reference values.
    """
    fans = []
    for first in range(len(polygon)):
        turned = polygon[first:] + polygon[:first]
        fans.append(np.array([(turned[0], *pair) for pair in itertools.pairwise(turned[1:])]))
    return fans[int(np.argmax([round(float(_areas(fan).sum()), 9) for fan in fans]))]


def _areas(triangles: Points) -> NDArray[np.float64]:
    """Areas of triangles (n, 3, 3)."""
    edges = triangles[:, 1:] - triangles[:, :1]
    return np.asarray(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2)
