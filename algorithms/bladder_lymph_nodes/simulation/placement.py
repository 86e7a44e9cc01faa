"""Where the lymph nodes of a simulated pelvis lie: along the vessels of their station, where there is room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.simulation import Shape

from .disease import Nodes, Side

Floats = NDArray[np.floating[Any]]

LOBES = 1.2  # how far a node's lobes may reach, in its semi-axes
CANDIDATES = 48
GAP_MM = 3.0  # mean distance from the vessel
FAR_MM = 20.0  # beyond this an obstacle is in nobody's way
PRESSED_MM = 0.4  # how far a node may be pressed into what it touches

# The lines along which the nodes of each station lie, with the radius of what runs there and the part of the line.
_CHAINS: dict[str, tuple[tuple[str, float, tuple[float, float]], ...]] = {
    "obturator": (("obturator nodes", 0.0, (0.0, 1.0)), ("obturator artery", 1.2, (0.3, 1.0))),
    "external iliac": (("external artery", 4.0, (0.1, 0.72)), ("external vein", 5.3, (0.1, 0.72))),
    "internal iliac": (("internal artery", 2.8, (0.1, 1.0)), ("internal vein", 3.3, (0.1, 1.0))),
    "common iliac": (("common artery", 4.8, (0.15, 0.95)), ("common vein", 6.0, (0.35, 0.95))),
    "presacral": (("presacral nodes", 0.0, (0.0, 1.0)),),
}


@dataclass(frozen=True, eq=False)
class PlacedNode:
    """Where a lymph node lies and how it is turned.

    Attributes
    ----------
    centre_mm
        In x, y, z.
    semi_axes_mm
        Half of its shortest, middle and longest diameter.
    frame
        Directions of these three (3, 3), one a row, in x, y, z.
    """

    centre_mm: Floats
    semi_axes_mm: tuple[float, float, float]
    frame: Floats

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z) of a box around it and its lobes."""
        reach = LOBES * np.linalg.norm(self.frame * np.array(self.semi_axes_mm)[:, None], axis=0)
        return self.centre_mm - reach, self.centre_mm + reach

    def scaled(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Coordinates (3, ...) along its axes, in semi-axes: the node is a ball of radius 1 there."""
        dx, dy, dz = (p - np.float32(q) for p, q in zip((x_mm, y_mm, z_mm), self.centre_mm, strict=True))
        axes = (self.frame / np.array(self.semi_axes_mm)[:, None]).astype(np.float32)
        return np.stack([dx * x + dy * y + dz * z for x, y, z in axes])


def place_nodes(
    rng: np.random.Generator, nodes: Nodes, paths: Mapping[Side, dict[str, Floats]], obstacles: list[Shape]
) -> tuple[PlacedNode, ...]:
    """Lay each node where there is room beside the vessels of its station, the largest first.

    Of many places along the chain the first is taken where the node presses into nothing, or the roomiest of them.
    """
    centres, frames = zip(*(_candidates(rng, nodes, i, paths) for i in range(len(nodes))), strict=True)
    semi_axes = _semi_axes_mm(nodes)
    # Three balls stand for the ellipsoid of a node: (n, candidates, 3, 3), the last in x, y, z.
    overhang = (semi_axes[:, 2] - semi_axes[:, 0])[:, None, None, None] * np.array([-0.7, 0, 0.7])[:, None]
    balls = np.array(centres)[:, :, None] + overhang * np.array(frames)[:, :, None, 2]
    room_mm = _room_mm(balls, obstacles)

    chosen: dict[int, PlacedNode] = {}
    others, radii = np.empty((0, 3)), np.empty(0)
    for i in np.argsort(-nodes.short_axis_mm, kind="stable").tolist():
        short, middle, long = semi_axes[i].tolist()
        gaps = room_mm[i] - short
        if chosen:
            apart = np.linalg.norm(balls[i][:, :, None] - others, axis=-1) - radii
            gaps = np.minimum(gaps, apart.min(axis=(1, 2)) - short)
        free = gaps > -PRESSED_MM
        best = int(np.argmax(free)) if free.any() else int(np.argmax(gaps))
        chosen[i] = PlacedNode(centres[i][best], (short, middle, long), frames[i][best])
        others, radii = np.vstack([others, balls[i, best]]), np.append(radii, [short] * 3)
    return tuple(chosen[i] for i in range(len(nodes)))


def _room_mm(balls: Floats, obstacles: list[Shape]) -> Floats:
    """Distance (n, candidates) from the centres of each candidate's balls to the nearest obstacle."""
    room = np.full(balls.shape[:-1], np.inf)
    for shape in obstacles:
        low, high = shape.box_mm
        near = np.all((balls > low - FAR_MM) & (balls < high + FAR_MM), axis=-1)
        room[near] = np.minimum(room[near], shape.distance_mm(*balls[near].T))
    return np.asarray(room.min(axis=2))


def _semi_axes_mm(nodes: Nodes) -> Floats:
    """Half of the shortest, middle and longest diameter of each node (n, 3)."""
    short = nodes.short_axis_mm / 2
    return np.stack([short, short * (1 + 0.3 * (nodes.elongation - 1)), short * nodes.elongation], axis=1)


def _candidates(
    rng: np.random.Generator, nodes: Nodes, i: int, paths: Mapping[Side, dict[str, Floats]]
) -> tuple[Floats, Floats]:
    """Draw places (candidates, 3) for a node along the lines of its station, and how it is turned there (.., 3, 3)."""
    side: Side = "left" if nodes.side[i] == "left" else "right"
    chains = _CHAINS[str(nodes.station[i])]
    name, radius_mm, (first, last) = chains[rng.integers(len(chains))]
    line = paths[side][name]
    where = rng.uniform(first, last, (CANDIDATES, 1)) * (len(line) - 1)
    piece = np.minimum(where.astype(int), len(line) - 2)[:, 0]
    step = line[piece + 1] - line[piece]
    along = _unit(step)
    around = _unit(np.cross(along, rng.normal(size=(CANDIDATES, 3))))
    beside_mm = radius_mm + float(nodes.short_axis_mm[i]) / 2 if radius_mm else 0.0
    reach = beside_mm + rng.exponential(GAP_MM, (CANDIDATES, 1))
    centre = line[piece] + (where - piece[:, None]) * step + reach * around
    long = _unit(along + rng.normal(scale=0.35, size=(CANDIDATES, 3)))
    short = _unit(around - (around * long).sum(axis=1, keepdims=True) * long)
    return centre, np.stack([short, np.cross(long, short), long], axis=1)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
