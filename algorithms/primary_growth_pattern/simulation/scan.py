"""Paints a simulated architecture as haematoxylin and eosin under a scanner, strip by strip.

Textures of tissues are amounts of the two dyes on a patch of 512 micrometres that repeats without a seam; cells are
stamped on them; light passes through both (Beer-Lambert) on its way to the scanner of a centre. Everything is in pixels of
0.5 micrometres, of which only a strip is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preop.simulation import correlated_noise
from preop.slides.tissue import DYES
from primary_growth_pattern.definitions import TissueLabel

from .anatomy import MAP_UM, Architecture, Cell, Floats

PIXEL_UM = 0.5
MAP_PX = int(MAP_UM / PIXEL_UM)
STRIP_PX = 512
BLOCK_PX = 512
PATCH_PX = 1024

# Amounts of dye are stored in hundredths; more than 2.55 is as dark as it gets.
UNITS = 100.0
LUMEN = len(TissueLabel)
_LARGEST_STAMP_PX = 24
_MARGIN_PX = 32

_ANGLES = 16
_VARIANTS = 4
_INK_DENSITY = {  # red, green, blue
    "blue": (0.85, 0.62, 0.15),
    "green": (0.95, 0.25, 0.50),
    "black": (0.90, 0.90, 0.90),
}

Bytes = NDArray[np.uint8]


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


class _Stamp(NamedTuple):
    """A cell: its haematoxylin and eosin, which replace less of what is there."""

    haematoxylin: Bytes
    eosin: Bytes


def strips(architecture: Architecture, stain: Stain, seed: int) -> Iterator[Bytes]:
    """Paint a slide from top to bottom: RGB (512 or less, width, 3)."""
    painter = _Painter(architecture, stain, seed)
    for top in range(0, painter.height, STRIP_PX):
        yield painter.paint(top, min(top + STRIP_PX, painter.height))


class _Painter:
    def __init__(self, architecture: Architecture, stain: Stain, seed: int) -> None:
        from scipy import ndimage

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
        turns = np.rint(architecture.angles[order] / math.pi * _ANGLES).astype(np.intp) % _ANGLES
        self.stamps = turns * _VARIANTS + rng.integers(0, _VARIANTS, len(order))
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
        patch = patches()[label]
        rows = (np.arange(top, bottom) + self.shift[label, 0]) % PATCH_PX
        columns = (np.arange(left, right) + self.shift[label, 1]) % PATCH_PX
        return np.asarray(patch[:, rows[:, None], columns])

    def _add_cells(self, amounts: Bytes, top: int) -> None:
        height, width = amounts.shape[1:]
        reach = _LARGEST_STAMP_PX
        first, last = np.searchsorted(self.cells_px[:, 0], [top - reach, top + height + reach])
        library = stamps()
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


def _stamp_at_edge(amounts: Bytes, stamp: _Stamp, top: int, left: int) -> None:
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


@lru_cache(maxsize=1)
def patches() -> list[Bytes]:
    """Textures of all tissues and of lumens (2, 1024, 1024): haematoxylin and eosin in hundredths. Always the same."""
    rng = np.random.default_rng(20)
    return [_stored(*_TEXTURES[label](rng)) for label in range(LUMEN + 1)]


def _stored(haematoxylin: Floats, eosin: Floats) -> Bytes:
    return np.asarray(np.clip(np.rint(UNITS * np.stack([haematoxylin, eosin])), 0, 255), np.uint8)


def _noise(rng: np.random.Generator, y_um: float, x_um: float) -> Floats:
    """Field that repeats without a seam, of different correlation lengths down and across.

    As ``preop.simulation.correlated_noise``, but by Fourier transform, for filters nearly as wide as the patch.
    """
    y, x = np.fft.fftfreq(PATCH_PX, PIXEL_UM)[:, None], np.fft.rfftfreq(PATCH_PX, PIXEL_UM)
    gain = np.exp(-((np.pi * y * y_um) ** 2 + (np.pi * x * x_um) ** 2) / 2)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((PATCH_PX,) * 2)) * gain)
    return np.asarray(field / field.std(), np.float32)


def _wavy(texture: Floats, waves: int, height_px: float) -> Floats:
    """Bend a texture, so that its fibres run in waves."""
    phase = 2 * math.pi * waves * np.arange(PATCH_PX) / PATCH_PX
    shifts = np.rint(height_px * np.sin(phase)).astype(np.intp)
    rows = (np.arange(PATCH_PX)[:, None] + shifts) % PATCH_PX
    return np.asarray(texture[rows, np.arange(PATCH_PX)])


def _distances(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Distance in pixels to the nearest and the second nearest of points that lie apart, over a seam too."""
    from scipy.spatial import cKDTree

    side = math.isqrt(count)
    grid = (np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2) + 0.5) / side
    points = (grid + rng.uniform(-0.3, 0.3, grid.shape) / side) % 1 * PATCH_PX
    half = np.arange(0, PATCH_PX, 2) + 0.5
    places = np.stack(np.meshgrid(half, half, indexing="ij"), -1).reshape(-1, 2)
    found, _ = cKDTree(points, boxsize=PATCH_PX).query(places, k=2)
    nearest, second = (_doubled(found[:, number].reshape(len(half), len(half))) for number in range(2))
    return nearest, second


def _doubled(field: Floats) -> Floats:
    """Interpolate a patch that repeats to twice as many pixels."""
    from PIL import Image

    padded = Image.fromarray(np.pad(field, 1, mode="wrap").astype(np.float32))
    side = len(field)
    return np.asarray(padded.resize((2 * side,) * 2, Image.Resampling.BILINEAR, box=(1, 1, side + 1, side + 1)))


def _background(rng: np.random.Generator) -> tuple[Floats, Floats]:
    return np.zeros((PATCH_PX,) * 2), 0.008 + 0.004 * _noise(rng, 3, 3)


def _tumour(rng: np.random.Generator) -> tuple[Floats, Floats]:
    return 0.20 + 0.05 * _noise(rng, 4, 4), 0.30 + 0.06 * _noise(rng, 6, 6)


def _mature(rng: np.random.Generator) -> tuple[Floats, Floats]:
    fibres = _wavy(_noise(rng, 3, 45), 3, 18)
    return 0.05 + 0.02 * _noise(rng, 5, 5), 0.36 + 0.16 * fibres


def _intermediate(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Broad bands of hyalinised collagen, like keloid (Ueno 2004)."""
    bands = _wavy(_noise(rng, 16, 110), 2, 40)
    return 0.04 + 0.02 * _noise(rng, 5, 5), 0.28 + 0.34 * np.clip(1.5 * bands + 0.5, 0, 1) + 0.06 * _noise(rng, 1.5, 10)


def _immature(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Myxoid: amorphous, bluish, with few thin fibres (Ueno 2004)."""
    fibres = np.abs(_wavy(_noise(rng, 10, 22), 2, 25)) < 0.10
    return 0.13 + 0.05 * _noise(rng, 14, 14), 0.10 + 0.20 * fibres + 0.02 * _noise(rng, 3, 3)


def _muscle(rng: np.random.Generator) -> tuple[Floats, Floats]:
    fibres = _wavy(_noise(rng, 5, 150), 1, 14)
    clefts = _wavy(_noise(rng, 9, 160), 1, 14) > 2.0
    fine = _noise(rng, 1.5, 40)
    return 0.09 + 0.02 * fibres, (0.55 + 0.10 * fibres + 0.06 * fine) * np.where(clefts, 0.1, 1)


def _mucus(rng: np.random.Generator) -> tuple[Floats, Floats]:
    swirls = _wavy(_noise(rng, 8, 70), 3, 40)
    strands = np.abs(_wavy(_noise(rng, 6, 40), 2, 30)) < 0.06
    return 0.09 + 0.04 * swirls + 0.09 * strands + 0.02 * _noise(rng, 1.5, 1.5), 0.03 + 0.01 * _noise(rng, 2, 2)


def _necrosis(rng: np.random.Generator) -> tuple[Floats, Floats]:
    debris = np.clip(_noise(rng, 2.5, 2.5) - 1.9, 0, 1) * 1.2
    return 0.10 + debris + 0.03 * _noise(rng, 8, 8), 0.42 + 0.13 * _noise(rng, 3, 3)


def _lymphoid(rng: np.random.Generator) -> tuple[Floats, Floats]:
    return 0.18 + 0.04 * _noise(rng, 4, 4), 0.12 + 0.04 * _noise(rng, 4, 4)


def _fat(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Cells of about 65 micrometres, of which the membranes are left."""
    nearest, second = _distances(rng, 64)
    membrane = np.clip(1 - (second - nearest) / 5, 0, 1)
    return 0.03 * membrane, 0.01 + 0.34 * membrane * (1 + 0.2 * _noise(rng, 10, 10))


def _mucosa(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Crypts cut across, of goblet cells with their nuclei outside, in a loose stroma."""
    nearest_px, _ = _distances(rng, 36)
    radius = nearest_px * PIXEL_UM + 1.2 * _noise(rng, 12, 12)
    lumen, goblets, nuclei = radius < 5, (radius >= 5) & (radius < 26), (radius >= 26) & (radius < 34)
    spots = _noise(rng, 4, 4)
    haematoxylin = np.select(
        [lumen, goblets, nuclei], [0.01, 0.10 + 0.04 * spots, 0.55 + 0.35 * spots], 0.10 + 0.55 * (spots > 1.3)
    )
    eosin = np.select([lumen, goblets, nuclei], [0.01, 0.08, 0.22], 0.24 + 0.08 * _noise(rng, 3, 8))
    return haematoxylin, eosin


def _lumen(rng: np.random.Generator) -> tuple[Floats, Floats]:
    return 0.02 + 0.01 * _noise(rng, 8, 8), 0.03 + 0.02 * _noise(rng, 12, 12)


_TEXTURES: dict[int, Callable[[np.random.Generator], tuple[Floats, Floats]]] = {
    TissueLabel.BACKGROUND: _background,
    TissueLabel.TUMOUR: _tumour,
    TissueLabel.MATURE_STROMA: _mature,
    TissueLabel.INTERMEDIATE_STROMA: _intermediate,
    TissueLabel.IMMATURE_STROMA: _immature,
    TissueLabel.MUSCLE: _muscle,
    TissueLabel.MUCUS: _mucus,
    TissueLabel.NECROSIS: _necrosis,
    TissueLabel.LYMPHOID: _lymphoid,
    TissueLabel.FAT: _fat,
    TissueLabel.MUCOSA: _mucosa,
    LUMEN: _lumen,
}


class _Look(NamedTuple):
    """Nucleus of a kind of cell: half axes, amount of haematoxylin, how coarse it is, and the cytoplasm's radius."""

    long_um: float
    short_um: float
    haematoxylin: float
    coarseness: float
    cytoplasm_um: float = 0.0


_LOOKS = {
    Cell.TUMOUR: _Look(4.6, 2.8, 0.62, 0.22),
    Cell.FIBROBLAST: _Look(6.0, 1.3, 0.75, 0.10),
    Cell.MUSCLE: _Look(7.0, 1.4, 0.70, 0.10),
    Cell.LYMPHOCYTE: _Look(3.1, 2.9, 1.25, 0.08),
    Cell.BUD: _Look(4.6, 3.4, 0.66, 0.22, 8.0),
}


@lru_cache(maxsize=1)
def stamps() -> dict[int, list[_Stamp]]:
    """Cells of each kind: 16 directions by 4 variants. Always the same."""
    rng = np.random.default_rng(21)
    return {
        int(kind): [
            _drawn(rng, look, math.pi * turn / _ANGLES) for turn in range(_ANGLES) for _variant in range(_VARIANTS)
        ]
        for kind, look in _LOOKS.items()
    }


def _drawn(rng: np.random.Generator, look: _Look, angle: float) -> _Stamp:
    reach_um = max(look.long_um * 1.2, look.cytoplasm_um) + 1
    half = min(math.ceil(reach_um / PIXEL_UM), _LARGEST_STAMP_PX)
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * PIXEL_UM
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    size = rng.uniform(0.88, 1.15)
    radius = np.hypot(along / (size * look.long_um), across / (size * look.short_um))
    inside = _edge(radius, size * look.short_um)
    chromatin = correlated_noise(rng, (64, 64), (PIXEL_UM,) * 2, (2.0, 2.0))[: 2 * half + 1, : 2 * half + 1]
    nucleus = inside * np.clip(look.haematoxylin * (1 + look.coarseness * chromatin), 0, None)
    cytoplasm = _edge(np.hypot(y, x) / max(look.cytoplasm_um, 1e-6), look.cytoplasm_um) if look.cytoplasm_um else 0 * y
    haematoxylin, eosin = _stored(np.maximum(nucleus, 0.20 * cytoplasm), np.maximum(0.15 * inside, 0.42 * cytoplasm))
    return _Stamp(haematoxylin, eosin)


def _edge(radius: Floats, radius_um: float) -> Floats:
    """1 inside a radius of 1, 0 outside, over an edge of about 1 micrometre."""
    return np.asarray(np.clip((1 - radius) * radius_um + 0.5, 0, 1))
