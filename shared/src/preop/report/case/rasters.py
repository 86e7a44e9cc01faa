"""Pictures inside of a page: JPEG as data URIs, as fine as the size of the file allows.

WebP is a third smaller, and takes ten times as long to write: seconds against half a minute for a scan of 400 slices.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ENLARGEMENT = 4
"""Pixels of a coarse scan are shown smooth, as viewers do, not as squares."""
COMFORTABLE_PX = 400
_SAMPLED = 12


@dataclass(frozen=True)
class Detail:
    """How finely pictures are stored: pixels along the longer side, at most, and the quality of JPEG."""

    side_px: int
    quality: int


DETAILS = (
    Detail(640, 85),
    Detail(512, 80),
    Detail(448, 70),
    Detail(384, 60),
    Detail(320, 50),
    Detail(256, 40),
    Detail(192, 30),
)
"""Tried in this order until the pictures fit."""
FINE = Detail(900, 90)
"""Of single pictures."""


def data_uri(pixels: NDArray[np.uint8], size_mm: tuple[float, float], detail: Detail) -> str:
    """Encode a picture, with square pixels.

    Parameters
    ----------
    pixels
        Grey (height, width) or RGB (height, width, 3).
    size_mm
        Height and width; any unit will do.
    """
    from PIL import Image as Pillow

    height, width = size_mm
    finest = min(height / pixels.shape[0], width / pixels.shape[1])
    natural = max(height, width) / finest
    side = min(detail.side_px, max(natural, min(MAX_ENLARGEMENT * natural, COMFORTABLE_PX)))
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Pillow.fromarray(pixels)
    if size != picture.size:
        picture = picture.resize(size, Pillow.Resampling.BICUBIC if side >= natural else Pillow.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=detail.quality)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def fitting(stacks: Sequence[tuple[NDArray[Any], tuple[float, float]]], limit_bytes: int) -> tuple[Detail, int]:
    """Choose how finely the slices of several stacks are stored, so that all of them together stay below a size.

    Parameters
    ----------
    stacks
        Grey values (slices, height, width), and height and width of a slice in mm.

    Returns
    -------
    The detail, and every how manieth slice is kept: 1, unless even the coarsest pictures of all would not fit.
    """
    for detail in DETAILS:
        if (size := _estimate(stacks, detail)) <= limit_bytes:
            return detail, 1
    return DETAILS[-1], -int(-size // limit_bytes)


def _estimate(stacks: Sequence[tuple[NDArray[Any], tuple[float, float]]], detail: Detail) -> int:
    """Tell the size of all slices from some of them, on the safe side."""
    total = 0.0
    for slices, size_mm in stacks:
        chosen = np.unique(np.linspace(0, len(slices) - 1, _SAMPLED).astype(int))
        sizes = [len(data_uri(slices[number], size_mm, detail)) for number in chosen.tolist()]
        total += 1.15 * len(slices) * (sum(sizes) / len(sizes))
    return int(total)
