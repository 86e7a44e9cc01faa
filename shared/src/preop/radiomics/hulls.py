"""The smallest box and the smallest ellipsoid around a convex hull, compiled."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

Points = NDArray[np.float64]
Triangles = NDArray[np.int32]

ELLIPSOID_TOLERANCE = 1e-6
"""How far beyond the ellipsoid a point may lie, as a share of the squared distance."""
MAX_STEPS = 100_000


@compiled
def smallest_box_sides(points: Points, triangles: Triangles, beside: Triangles, normals: Points) -> Points:
    """Sides of the smallest box around a hull, of those that can be found from a box on one of its faces.

    Of the smallest box of all, each of two sides next to each other holds an edge of the hull (O'Rourke 1985,
    doi 10.1007/BF00991005). Here a side holds a face first; then the box is turned about each of its axes in turn, to the
    smallest rectangle that the hull is seen in, until it becomes no smaller.

    Parameters
    ----------
    points
        The hull's points (n, 3).
    triangles, beside
        Its triangles (m, 3) by numbers of points, and which triangle lies on the other side of the edge that is opposite of
        each of those points.
    normals
        Their unit normals (m, 3), outwards.
    """
    candidates = np.concatenate((normals, np.eye(3)))
    smallest = np.inf
    sides, axes = np.zeros(3), np.zeros((3, 3))
    for n in range(len(candidates)):
        # A face of the hull is often cut into several triangles.
        if n > 0 and np.abs(candidates[n] - candidates[n - 1]).max() < 1e-9:
            continue
        found, turned = _box_along(candidates[n], points, triangles, beside, normals)
        if found.prod() < smallest:
            smallest = found.prod()
            sides = found
            axes = turned
    k, unchanged = 0, 0
    while unchanged < 3:
        found, turned = _box_along(axes[k], points, triangles, beside, normals)
        unchanged += 1
        if found.prod() < smallest * (1 - 1e-9):
            smallest = found.prod()
            sides = found
            axes = turned
            k, unchanged = 0, 0
        k = (k + 1) % 3
    return sides


@compiled
def _box_along(
    axis: Points, points: Points, triangles: Triangles, beside: Triangles, normals: Points
) -> tuple[Points, Points]:
    """Sides and axes (3, 3) of the smallest box with one axis."""
    # Two axes across.
    helper = np.zeros(3)
    helper[np.abs(axis).argmin()] = 1.0
    u = np.cross(axis, helper)
    u /= math.sqrt((u * u).sum())
    v = np.cross(axis, u)
    seen = np.empty((len(points), 2))
    lowest, highest = np.inf, -np.inf
    for n in range(len(points)):
        x, y, z = points[n]
        seen[n, 0] = u[0] * x + u[1] * y + u[2] * z
        seen[n, 1] = v[0] * x + v[1] * y + v[2] * z
        height = axis[0] * x + axis[1] * y + axis[2] * z
        lowest, highest = min(lowest, height), max(highest, height)
    # The outline is made of the edges between a triangle that is seen and one that is not.
    front = np.empty(len(normals), dtype=np.bool_)
    for n in range(len(normals)):
        front[n] = axis[0] * normals[n, 0] + axis[1] * normals[n, 1] + axis[2] * normals[n, 2] > 1e-12
    outline = np.empty((3 * len(triangles), 2), dtype=np.int64)
    is_corner = np.zeros(len(points), dtype=np.bool_)
    edges = 0
    for n in range(len(triangles)):
        if front[n]:
            for k in range(3):
                if not front[beside[n, k]]:
                    outline[edges, 0] = triangles[n, (k + 1) % 3]
                    outline[edges, 1] = triangles[n, (k + 2) % 3]
                    is_corner[outline[edges, 0]] = is_corner[outline[edges, 1]] = True
                    edges += 1
    # Each edge's direction, and how far the outline reaches along it and across; side by side, for there are many.
    forward_x, forward_y = np.empty(edges), np.empty(edges)
    for n in range(edges):
        start, end = outline[n]
        x, y = seen[end, 0] - seen[start, 0], seen[end, 1] - seen[start, 1]
        length = math.sqrt(x * x + y * y)
        forward_x[n], forward_y[n] = (x / length, y / length) if length > 0 else (1.0, 0.0)
    left, right, below, above = (
        np.full(edges, np.inf),
        np.full(edges, -np.inf),
        np.full(edges, np.inf),
        np.full(edges, -np.inf),
    )
    for corner in np.flatnonzero(is_corner):
        x, y = seen[corner]
        for n in range(edges):
            along, across = forward_x[n] * x + forward_y[n] * y, forward_x[n] * y - forward_y[n] * x
            left[n] = min(left[n], along)
            right[n] = max(right[n], along)
            below[n] = min(below[n], across)
            above[n] = max(above[n], across)
    best = ((right - left) * (above - below)).argmin()
    sides, axes = np.empty(3), np.empty((3, 3))
    sides[0], sides[1], sides[2] = highest - lowest, right[best] - left[best], above[best] - below[best]
    axes[0], axes[1], axes[2] = (
        axis,
        forward_x[best] * u + forward_y[best] * v,
        forward_x[best] * v - forward_y[best] * u,
    )
    return sides, axes


@compiled
def ellipsoid_moments(points: Points) -> Points:  # noqa: PLR0912
    """Second moments (3, 3) of weights on points (n, 3): their triple is the matrix of the smallest ellipsoid around them.

    Khachiyan's algorithm with steps away from points (Todd and Yildirim 2007, doi 10.1016/j.dam.2007.02.013), which leaves
    out the points that cannot touch the ellipsoid (Harman and Pronzato 2007, doi 10.1016/j.spl.2006.05.014).
    """
    # About the middle and to a common scale, so that nothing is lost in rounding; with a one, for the centre.
    size = 4
    middle = points.sum(axis=0) / len(points)
    scale = np.abs(points - middle).max()
    lifted = np.ones((size, len(points)))
    for k in range(3):
        lifted[k] = (points[:, k] - middle[k]) / scale
    weights = np.full(len(points), 1 / len(points))
    inverse = _inverse(_moments(lifted, weights))
    distance = _distances(lifted, inverse)
    for count in range(MAX_STEPS):
        far, near = 0, -1
        for n in range(distance.size):
            if distance[n] > distance[far]:
                far = n
            if weights[n] > 0 and (near < 0 or distance[n] < distance[near]):
                near = n
        excess, lack = distance[far] / size - 1, 1 - distance[near] / size
        if max(excess, lack) < ELLIPSOID_TOLERANCE:
            break
        if count % 32 == 31:
            room = max(excess, 0.0)
            least = size * (1 + room / 2 - math.sqrt(room * (4 + room - 4 / size)) / 2)
            kept = np.flatnonzero(distance >= least - 1e-9)
            lifted, weights = lifted[:, kept].copy(), weights[kept]
            weights /= weights.sum()
            inverse = _inverse(_moments(lifted, weights))
            distance = _distances(lifted, inverse)
            continue
        point = far if excess >= lack else near
        step = (distance[point] - size) / (size * (distance[point] - 1)) if distance[point] > 1 else -1.0
        step = max(step, -weights[point] / (1 - weights[point]))
        direction = np.zeros(size)
        for i in range(size):
            for k in range(size):
                direction[i] += inverse[i, k] * lifted[k, point]
        share = step / (1 - step + step * distance[point])
        for n in range(distance.size):
            product = (
                direction[0] * lifted[0, n]
                + direction[1] * lifted[1, n]
                + direction[2] * lifted[2, n]
                + direction[3] * lifted[3, n]
            )
            distance[n] = (distance[n] - share * product * product) / (1 - step)
            weights[n] *= 1 - step
        for i in range(size):
            for k in range(size):
                inverse[i, k] = (inverse[i, k] - share * direction[i] * direction[k]) / (1 - step)
        weights[point] = max(weights[point] + step, 0.0)
    moments = _moments(lifted, weights)
    found = np.empty((3, 3))
    for i in range(3):
        for k in range(3):
            found[i, k] = (moments[i, k] - moments[i, 3] * moments[k, 3]) * scale**2
    return found


@compiled
def _moments(lifted: Points, weights: Points) -> Points:
    """Weighted second moments of points (4, n)."""
    found = np.zeros((len(lifted), len(lifted)))
    for i in range(len(lifted)):
        for k in range(len(lifted)):
            for n in range(weights.size):
                found[i, k] += weights[n] * lifted[i, n] * lifted[k, n]
    return found


@compiled
def _distances(lifted: Points, inverse: Points) -> Points:
    """Squared distance of each point (4, n) by a matrix."""
    found = np.zeros(lifted.shape[1])
    for i in range(len(lifted)):
        for k in range(len(lifted)):
            for n in range(found.size):
                found[n] += inverse[i, k] * lifted[i, n] * lifted[k, n]
    return found


@compiled
def _inverse(matrix: Points) -> Points:
    """Invert a symmetric matrix with positive eigenvalues, which needs no exchange of rows; the same on every processor."""
    size = len(matrix)
    both = np.concatenate((matrix, np.eye(size)), axis=1)
    for k in range(size):
        both[k] /= both[k, k]
        for i in range(size):
            if i != k:
                both[i] -= both[i, k] * both[k]
    return both[:, size:].copy()
