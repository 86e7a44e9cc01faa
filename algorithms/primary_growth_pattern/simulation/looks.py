"""How tissues and cells look on a simulated slide: the usual look, always the same, and others drawn at random.

Textures of tissues are amounts of the two dyes on a patch of 512 micrometres that repeats without a seam; cells are stamps.
Networks that learn from one look know that look alone, so that those of annotated regions are drawn anew for every patient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preop.simulation import correlated_noise
from primary_growth_pattern.definitions import TissueLabel

from .anatomy import Cell, Floats

PIXEL_UM = 0.5
PATCH_PX = 1024

# Amounts of dye are stored in hundredths; more than 2.55 is as dark as it gets.
UNITS = 100.0
LUMEN = len(TissueLabel)
LARGEST_STAMP_PX = 24
ANGLES = 16
VARIANTS = 4

Bytes = NDArray[np.uint8]


class Stamp(NamedTuple):
    """A cell: its haematoxylin and eosin, which replace less of what is there."""

    haematoxylin: Bytes
    eosin: Bytes


@dataclass(frozen=True, eq=False)
class Look:
    """What the tissues and cells of a slide look like.

    Attributes
    ----------
    patches
        Texture of each tissue, and of lumens (2, 1024, 1024): haematoxylin and eosin in hundredths.
    stamps
        Cells of each kind, 16 directions by 4 variants.
    """

    patches: tuple[Bytes, ...]
    stamps: Mapping[int, tuple[Stamp, ...]]


@lru_cache(maxsize=1)
def usual_look() -> Look:
    """Give the look of simulated patients. Always the same."""
    rng = np.random.default_rng(20)
    patches = tuple(_stored(*_TEXTURES[label](rng)) for label in range(LUMEN + 1))
    return Look(patches, _stamps(np.random.default_rng(21), _CELLS))


def random_look(rng: np.random.Generator) -> Look:
    """Draw another look: other amounts of the dyes, grain, contrast and clefts of each tissue, other nuclei of each cell.

    Which tissue a texture stands for is kept, and so is which cell is larger or darker than another, on the whole: wider than
    between laboratories and patients, but no free invention.
    """
    usual = usual_look().patches
    patches = tuple(
        _varied(rng, usual[label], clefts=label in _CLEFT, filled=label == LUMEN) for label in range(LUMEN + 1)
    )
    return Look(patches, _stamps(rng, {kind: _varied_nucleus(rng, nucleus) for kind, nucleus in _CELLS.items()}))


def _varied(rng: np.random.Generator, patch: Bytes, *, clefts: bool, filled: bool) -> Bytes:
    """Draw a texture anew from the usual one."""
    if patch[0].max() == 0:  # glass
        return patch
    dyes = _zoomed(rng, patch) / UNITS
    mean = dyes.mean(axis=(1, 2), keepdims=True)
    contrast, amount = _factors(rng, 1.7, 2), _factors(rng, 1.7, 2)
    grain = rng.uniform(0, 0.3) * np.stack([_grain(rng, rng.uniform(1.2, 8.0, 2)) for _dye in range(2)])
    dyes = amount * np.maximum(mean + contrast * (dyes - mean), 0) * np.exp(grain)
    if filled and rng.random() < 0.5:  # secretion and debris
        content = _grain(rng, (6, 6)) > rng.uniform(-0.5, 1.5)
        dyes += content * rng.uniform((0.0, 0.05), (0.35, 0.5))[:, None, None]
    if clefts and rng.random() < 0.6:
        gaps = _grain(rng, rng.uniform(4, 25, 2)) > rng.uniform(1.0, 2.5)
        dyes *= np.where(gaps, 0.08, 1)
    return _stored(dyes[0], dyes[1])


def _grain(rng: np.random.Generator, lengths_um: Sequence[float] | Floats) -> Floats:
    """Field of two correlation lengths, four times on a patch: drawn in a quarter of the time."""
    return np.tile(_noise(rng, lengths_um[0], lengths_um[1], PATCH_PX // 2), (2, 2))


def _zoomed(rng: np.random.Generator, patch: Bytes) -> Floats:
    """Enlarge a part of a patch up to twice, mirrored so that it repeats without a seam."""
    from PIL import Image

    half = PATCH_PX // 2
    side = int(rng.integers(half // 2, 3 * half // 2))
    top, left = rng.integers(0, PATCH_PX - side, 2)
    part = patch[:, top : top + side, left : left + side].astype(np.float32)
    zoomed = np.stack(
        [np.asarray(Image.fromarray(dye).resize((half, half), Image.Resampling.BILINEAR)) for dye in part]
    )
    wide = np.concatenate([zoomed, zoomed[..., ::-1]], axis=2)
    return np.asarray(np.concatenate([wide, wide[:, ::-1]], axis=1))


def _varied_nucleus(rng: np.random.Generator, usual: _Nucleus) -> _Nucleus:
    size, slender = rng.uniform(0.8, 1.35), rng.uniform(0.8, 1.25)
    return _Nucleus(
        long_um=usual.long_um * size * slender,
        short_um=usual.short_um * size / slender,
        haematoxylin=usual.haematoxylin * rng.uniform(0.6, 1.5),
        coarseness=usual.coarseness * rng.uniform(0.5, 2.5),
        cytoplasm_um=usual.cytoplasm_um * rng.uniform(0.8, 1.2),
        cytoplasm=usual.cytoplasm * rng.uniform(0.5, 1.6),
    )


def _factors(rng: np.random.Generator, most: float, count: int) -> Floats:
    """Factors of up to ``most`` either way, one for each dye (count, 1, 1)."""
    return np.asarray(np.exp(rng.uniform(-math.log(most), math.log(most), count))[:, None, None])


def _stored(haematoxylin: Floats, eosin: Floats) -> Bytes:
    return np.asarray(np.clip(np.rint(UNITS * np.stack([haematoxylin, eosin])), 0, 255), np.uint8)


def _noise(rng: np.random.Generator, y_um: float, x_um: float, side_px: int = PATCH_PX) -> Floats:
    """Field that repeats without a seam, of different correlation lengths down and across.

    As ``preop.simulation.correlated_noise``, but by Fourier transform, for filters nearly as wide as the patch.
    """
    y, x = np.fft.fftfreq(side_px, PIXEL_UM)[:, None], np.fft.rfftfreq(side_px, PIXEL_UM)
    gain = np.exp(-((np.pi * y * y_um) ** 2 + (np.pi * x * x_um) ** 2) / 2)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side_px,) * 2)) * gain)
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


_CLEFT = {TissueLabel.MATURE_STROMA, TissueLabel.INTERMEDIATE_STROMA, TissueLabel.MUSCLE, TissueLabel.MUCOSA}
"""Tissues that tear when they are cut."""


class _Nucleus(NamedTuple):
    """A kind of cell: its nucleus with half axes, amount of haematoxylin and how coarse that is, and its cytoplasm."""

    long_um: float
    short_um: float
    haematoxylin: float
    coarseness: float
    cytoplasm_um: float = 0.0
    cytoplasm: float = 1.0


_CELLS = {
    Cell.TUMOUR: _Nucleus(4.6, 2.8, 0.62, 0.22),
    Cell.FIBROBLAST: _Nucleus(6.0, 1.3, 0.75, 0.10),
    Cell.MUSCLE: _Nucleus(7.0, 1.4, 0.70, 0.10),
    Cell.LYMPHOCYTE: _Nucleus(3.1, 2.9, 1.25, 0.08),
    Cell.BUD: _Nucleus(4.6, 3.4, 0.66, 0.22, 8.0),
}


def _stamps(rng: np.random.Generator, looks: Mapping[Cell, _Nucleus]) -> dict[int, tuple[Stamp, ...]]:
    return {
        int(kind): tuple(
            _drawn(rng, look, math.pi * turn / ANGLES) for turn in range(ANGLES) for _variant in range(VARIANTS)
        )
        for kind, look in looks.items()
    }


def _drawn(rng: np.random.Generator, look: _Nucleus, angle: float) -> Stamp:
    reach_um = max(look.long_um * 1.2, look.cytoplasm_um) + 1
    half = min(math.ceil(reach_um / PIXEL_UM), LARGEST_STAMP_PX)
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * PIXEL_UM
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    size = rng.uniform(0.88, 1.15)
    radius = np.hypot(along / (size * look.long_um), across / (size * look.short_um))
    inside = _edge(radius, size * look.short_um)
    chromatin = correlated_noise(rng, (64, 64), (PIXEL_UM,) * 2, (2.0, 2.0))[: 2 * half + 1, : 2 * half + 1]
    nucleus = inside * np.clip(look.haematoxylin * (1 + look.coarseness * chromatin), 0, None)
    cytoplasm = _edge(np.hypot(y, x) / max(look.cytoplasm_um, 1e-6), look.cytoplasm_um) if look.cytoplasm_um else 0 * y
    haematoxylin, eosin = _stored(
        np.maximum(nucleus, 0.20 * cytoplasm), np.maximum(0.15 * inside, 0.42 * look.cytoplasm * cytoplasm)
    )
    return Stamp(haematoxylin, eosin)


def _edge(radius: Floats, radius_um: float) -> Floats:
    """1 inside a radius of 1, 0 outside, over an edge of about 1 micrometre."""
    return np.asarray(np.clip((1 - radius) * radius_um + 0.5, 0, 1))
