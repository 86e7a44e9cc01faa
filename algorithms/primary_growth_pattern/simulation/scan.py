"""Paints a simulated architecture as haematoxylin and eosin under a scanner, strip by strip.

Textures of tissues are amounts of the two dyes on a patch of 512 micrometres that repeats without a seam; cells are
stamped on them; light passes through both (Beer-Lambert) on its way to the scanner of a centre. Everything is in pixels of
0.5 micrometres, of which only a strip is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.simulation import correlated_noise
from preop.slides.tissue import DYES
from primary_growth_pattern.definitions import TissueLabel

from .anatomy import MAP_UM, Architecture, Floats
from .looks import ANGLES, LARGEST_STAMP_PX, LUMEN, PATCH_PX, PIXEL_UM, UNITS, VARIANTS, Bytes, Look, Stamp, usual_look

MAP_PX = int(MAP_UM / PIXEL_UM)
STRIP_PX = 512
BLOCK_PX = 512
_MARGIN_PX = 32

_INK_DENSITY = {  # red, green, blue
    "blue": (0.85, 0.62, 0.15),
    "green": (0.95, 0.25, 0.50),
    "black": (0.90, 0.90, 0.90),
}


@dataclass(frozen=True)
class Stain:
    """How a centre stains and scans.

    Attributes
    ----------
    haematoxylin, eosin
        Strength of the dyes.
    turn
        Angles in radians by which the colours of haematoxylin and of eosin are turned towards each other.
    white
        Grey values without tissue (red, green, blue).
    gamma
        Of the scanner.
    unevenness
        Standard deviation of the strength over a slide.
    ink
        Colour of the pen.
    """

    haematoxylin: float = 1.0
    eosin: float = 1.0
    turn: tuple[float, float] = (0.0, 0.0)
    white: tuple[float, float, float] = (244.0, 243.0, 245.0)
    gamma: float = 1.0
    unevenness: float = 0.05
    ink: str = "blue"

    def colours(self) -> NDArray[np.uint32]:
        """RGB, packed in the low three bytes, for each pair of amounts in hundredths (256 * haematoxylin + eosin)."""
        amounts = np.arange(256) / UNITS
        first, second = DYES / np.linalg.norm(DYES, axis=1, keepdims=True)
        turned = np.stack([_turned(first, second, self.turn[0]), _turned(second, first, self.turn[1])])
        strength = np.array([[self.haematoxylin], [self.eosin]])
        density = amounts[:, None, None] * (turned * strength)[0] + amounts[None, :, None] * (turned * strength)[1]
        light = np.array(self.white) * 10 ** (-density * self.gamma)
        rgb = np.clip(np.rint(light), 0, 255).astype(np.uint32)
        return np.asarray(rgb[..., 0] | rgb[..., 1] << 8 | rgb[..., 2] << 16, np.uint32).ravel()


def strips(architecture: Architecture, stain: Stain, seed: int, look: Look | None = None) -> Iterator[Bytes]:
    """Paint a slide from top to bottom: RGB (512 or less, width, 3); ``look`` is the usual one if not given."""
    painter = _Painter(architecture, stain, seed, usual_look() if look is None else look)
    for top in range(0, painter.height, STRIP_PX):
        yield painter.paint(top, min(top + STRIP_PX, painter.height))


class _Painter:
    def __init__(self, architecture: Architecture, stain: Stain, seed: int, look: Look) -> None:
        from scipy import ndimage

        self.look = look
        self.architecture = architecture
        self.stain = stain
        rows, columns = architecture.labels.shape
        self.height, self.width = rows * MAP_PX, columns * MAP_PX
        self.labels = np.where(architecture.lumens, np.uint8(LUMEN), architecture.labels)
        self.colours = stain.colours()
        rng = np.random.default_rng([seed, 1])
        self.shift = rng.integers(0, PATCH_PX, (LUMEN + 1, 2))
        knots = tuple(side // 64 + 8 for side in architecture.labels.shape)
        self.strength = 1 + stain.unevenness * correlated_noise(rng, knots, (1.0, 1.0), (6.0, 6.0))
        order = np.argsort(architecture.cells_um[:, 0], kind="stable")
        self.cells_px = np.rint(architecture.cells_um[order] / PIXEL_UM).astype(np.intp)
        self.kinds = architecture.kinds[order]
        turns = np.rint(architecture.angles[order] / math.pi * ANGLES).astype(np.intp) % ANGLES
        self.stamps = turns * VARIANTS + rng.integers(0, VARIANTS, len(order))
        # The edge of a fold slopes over some 10 micrometres.
        self.folds = ndimage.gaussian_filter(architecture.folds.astype(np.float32), 1.2)
        self.has_fold, self.has_pen, self.has_blur = (
            bool(mask.any()) for mask in (architecture.folds, architecture.pen, architecture.blur)
        )

    def paint(self, top: int, bottom: int) -> Bytes:
        """Paint rows of pixels."""
        rows = slice(top // MAP_PX, -(-bottom // MAP_PX))
        if not (self.has_blur and self.architecture.blur[rows].any()):
            return self._inked(self._sharp(top, bottom), top)
        above, below = max(top - _MARGIN_PX, 0), min(bottom + _MARGIN_PX, self.height)
        sharp = self._sharp(above, below)
        return self._inked(self._defocused(sharp, above)[top - above : bottom - above], top)

    def _sharp(self, top: int, bottom: int) -> Bytes:
        amounts = np.empty((2, bottom - top, self.width), np.uint8)
        for left in range(0, self.width, BLOCK_PX):
            right = min(left + BLOCK_PX, self.width)
            amounts[:, :, left:right] = self._ground(top, bottom, left, right)
        self._add_cells(amounts, top)
        if self.has_fold and self.folds[top // MAP_PX : -(-bottom // MAP_PX)].any():
            factor = 1 + _enlarged(self.folds, top, bottom, 0, self.width)
            amounts = np.minimum(amounts * factor, 255).astype(np.uint8)
        index = amounts[0].astype(np.uint16) << 8 | amounts[1]
        packed = self.colours.take(index)
        return np.ascontiguousarray(packed.view(np.uint8).reshape(*packed.shape, 4)[..., :3])

    def _ground(self, top: int, bottom: int, left: int, right: int) -> Bytes:
        """Dyes of a block without its cells (2, height, width)."""
        labels = self.labels[
            max(top // MAP_PX - 3, 0) : -(-bottom // MAP_PX) + 3, max(left // MAP_PX - 3, 0) : -(-right // MAP_PX) + 3
        ]
        present = np.unique(labels).tolist()
        strength = _enlarged_field(self.strength, 64 * MAP_PX, 2, top, bottom, left, right)
        if present == [TissueLabel.BACKGROUND]:
            return self._texture(present[0], top, bottom, left, right)
        total = np.zeros((2, bottom - top, right - left), np.float32)
        for label in present:
            texture = self._texture(label, top, bottom, left, right)
            if len(present) == 1:
                total += texture
            else:
                total += texture * _enlarged((self.labels == label), top, bottom, left, right)
        total *= strength
        return np.asarray(np.minimum(total, 255).astype(np.uint8))

    def _texture(self, label: int, top: int, bottom: int, left: int, right: int) -> Bytes:
        """Part of a patch that repeats."""
        patch = self.look.patches[label]
        rows = (np.arange(top, bottom) + self.shift[label, 0]) % PATCH_PX
        columns = (np.arange(left, right) + self.shift[label, 1]) % PATCH_PX
        return np.asarray(patch[:, rows[:, None], columns])

    def _add_cells(self, amounts: Bytes, top: int) -> None:
        height, width = amounts.shape[1:]
        reach = LARGEST_STAMP_PX
        first, last = np.searchsorted(self.cells_px[:, 0], [top - reach, top + height + reach])
        library = self.look.stamps
        for (y, x), kind, number in zip(
            (self.cells_px[first:last] - (top, 0)).tolist(),
            self.kinds[first:last].tolist(),
            self.stamps[first:last].tolist(),
            strict=True,
        ):
            stamp = library[kind][number]
            half = stamp.haematoxylin.shape[0] // 2
            if y - half < 0 or x - half < 0 or y + half >= height or x + half >= width:
                _stamp_at_edge(amounts, stamp, y - half, x - half)
                continue
            place = (slice(y - half, y + half + 1), slice(x - half, x + half + 1))
            for dye, shape in zip(amounts, stamp, strict=True):
                np.maximum(dye[place], shape, out=dye[place])

    def _inked(self, pixels: Bytes, top: int) -> Bytes:
        bottom = top + len(pixels)
        if not (self.has_pen and self.architecture.pen[top // MAP_PX : -(-bottom // MAP_PX)].any()):
            return pixels
        ink = _enlarged(self.architecture.pen, top, bottom, 0, self.width)
        density = np.array(_INK_DENSITY[self.stain.ink], np.float32)
        return np.asarray((pixels * 10 ** (-ink[..., None] * density)).astype(np.uint8))

    def _defocused(self, pixels: Bytes, top: int) -> Bytes:
        """Blur what is out of focus by about 4 micrometres."""
        from scipy import ndimage

        columns = np.flatnonzero(self.architecture.blur.any(axis=0)) * MAP_PX
        left, right = max(int(columns[0]) - _MARGIN_PX, 0), min(int(columns[-1]) + MAP_PX + _MARGIN_PX, self.width)
        part = pixels[:, left:right].astype(np.float32)
        weight = _enlarged(self.architecture.blur, top, top + len(pixels), left, right)[..., None]
        blurred = ndimage.gaussian_filter(part, (8, 8, 0), truncate=3)
        result = pixels.copy()
        result[:, left:right] = part + (blurred - part) * weight
        return result


def _stamp_at_edge(amounts: Bytes, stamp: Stamp, top: int, left: int) -> None:
    size = stamp.haematoxylin.shape[0]
    height, width = amounts.shape[1:]
    rows, columns = (slice(max(start, 0), min(start + size, side)) for start, side in ((top, height), (left, width)))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    for dye, shape in zip(amounts, stamp, strict=True):
        np.maximum(dye[rows, columns], shape[inner], out=dye[rows, columns])


def _enlarged(field: NDArray[Any], top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
    """Pixels of a map, interpolated between the centres of its pixels."""
    return _enlarged_field(field, MAP_PX, 0, top, bottom, left, right)


def _enlarged_field(
    field: NDArray[Any], factor: int, offset: int, top: int, bottom: int, left: int, right: int
) -> NDArray[np.float32]:
    """Pixels of a field whose own are ``factor`` times as large, after leaving out its first ``offset``."""
    from PIL import Image
    from scipy.ndimage import uniform_filter

    first_row, first_column = (max(start // factor + offset - 4, 0) for start in (top, left))
    part = field[first_row : -(-bottom // factor) + offset + 4, first_column : -(-right // factor) + offset + 4]
    box = (
        left / factor + offset - first_column,
        top / factor + offset - first_row,
        right / factor + offset - first_column,
        bottom / factor + offset - first_row,
    )
    # Rounds the corners of a map's pixels.
    smooth = uniform_filter(part.astype(np.float32), 3, mode="nearest")
    image = Image.fromarray(smooth)
    return np.asarray(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box))


def _turned(vector: Floats, other: Floats, angle: float) -> Floats:
    """Turn a unit vector towards another."""
    across = other - (other @ vector) * vector
    return np.asarray(vector * math.cos(angle) + across / np.linalg.norm(across) * math.sin(angle))
