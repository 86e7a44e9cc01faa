"""Stains: optical density as the networks read it, and stains and scanners drawn at random, under which they learn.

A stain is a 3 x 3 matrix on optical densities: colour deconvolution into haematoxylin, eosin and what neither explains, each
made stronger or weaker, and put together again with dyes of a slightly different colour (after Tellez et al., IEEE Trans Med
Imaging 2018;37:2126, who vary the strengths alone).
"""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preop.slides.tissue import DYES

_DENSITY_OF = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)

# Two published references of what haematoxylin and eosin look like are far apart, above all in blue: that of Macenko 2009
# (``preop.slides.tissue.DYES``) and this one (Ruifrok & Johnston, Anal Quant Cytol Histol 2001;23:291). Stains lie between them.
_OTHER_DYES = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])

# Wider than between laboratories: haematoxylin and eosin are 0.39 radians apart.
_STRENGTH = 1.7
_TURN = 0.20
_OTHER_COLOUR = 0.04
_WHITE = (0.0, 0.05)

# How another scanner might have shown it: share of pictures, and range.
_CONTRAST = (0.5, (0.8, 1.25))  # exponent of the density
_BLUR_PX = (0.4, (0.0, 1.5))
_NOISE = (0.4, (0.0, 0.04))  # of the density
_JPEG_QUALITY = (0.3, (35, 90))


class RandomStain(NamedTuple):
    """A stain that was drawn: densities are multiplied by ``mixing`` (3, 3), then ``white`` (3,) is added."""

    mixing: NDArray[np.float32]
    white: NDArray[np.float32]


CLEAR_DENSITY = 0.25
"""Sum of the three densities below which a pixel is as clear as glass; the white of simulated scanners has 0.1."""


def density(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Optical density (h, w, 3) of RGB; as ``preop.slides.tissue.densities``, by a table."""
    return np.asarray(_DENSITY_OF[pixels])


def draw_stain(rng: np.random.Generator) -> RandomStain:
    """Draw how another laboratory and scanner might have shown the same tissue."""
    usual, other = (dyes / np.linalg.norm(dyes, axis=1, keepdims=True) for dyes in (DYES, _OTHER_DYES))
    between = usual + rng.uniform(0, 1) * (other - usual)
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    turned = np.stack([_turned(between[0], between[1], rng), _turned(between[1], between[0], rng)])
    strength = np.exp(rng.uniform(-math.log(_STRENGTH), math.log(_STRENGTH), 3))
    mixing = np.linalg.inv(_with_rest(usual)) @ (strength[:, None] * _with_rest(turned))
    return RandomStain(mixing.astype(np.float32), rng.uniform(*_WHITE, 3).astype(np.float32))


def disturbed(densities: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Show optical densities (h, w, 3) as another scanner might: contrast, blur, noise, and loss by JPEG, each in some."""
    from scipy import ndimage

    if (exponent := _drawn(rng, _CONTRAST)) is not None:
        densities = densities**exponent
    if (sigma := _drawn(rng, _BLUR_PX)) is not None:
        densities = ndimage.gaussian_filter(densities, (sigma, sigma, 0))
    if (noise := _drawn(rng, _NOISE)) is not None:
        densities = np.maximum(densities + noise * rng.standard_normal(densities.shape, dtype=np.float32), 0)
    if (quality := _drawn(rng, _JPEG_QUALITY)) is not None:
        densities = _through_jpeg(densities, round(quality))
    return np.asarray(densities, np.float32)


def _drawn(rng: np.random.Generator, setting: tuple[float, tuple[float, float]]) -> float | None:
    """Draw a strength; None in pictures that keep what they have."""
    share, (low, high) = setting
    return float(rng.uniform(low, high)) if rng.random() < share else None


def _through_jpeg(densities: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    from PIL import Image

    pixels = np.clip(np.rint(256 * 10**-densities - 1), 0, 255).astype(np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality)
    return density(np.asarray(Image.open(stored)))


def _turned(dye: NDArray[np.float64], other: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Turn a dye's unit vector towards the other's or away from it, and a little to any side."""
    across = other - (other @ dye) * dye
    angle = rng.uniform(-_TURN, _TURN)
    turned = dye * math.cos(angle) + across / np.linalg.norm(across) * math.sin(angle)
    turned = np.maximum(turned + _OTHER_COLOUR * rng.standard_normal(3), 0)
    return np.asarray(turned / np.linalg.norm(turned))


def _with_rest(dyes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Append the direction that neither dye has."""
    rest = np.cross(*dyes)
    return np.vstack([dyes, rest / np.linalg.norm(rest)])
