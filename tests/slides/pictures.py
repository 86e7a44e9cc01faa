"""Pictures of which it is known what they show."""

import numpy as np
from scipy import ndimage

from preop.slides.levels import Pixels
from preop.slides.tissue import DYES


def gradient(height: int, width: int) -> Pixels:
    """A picture that JPEG hardly changes, in which every place has a colour of its own."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, (y + x) * 255 // (height + width)], axis=2).astype(np.uint8)


def stained(haematoxylin: np.ndarray, eosin: np.ndarray) -> Pixels:
    """Light that passes through amounts of dye."""
    density = np.stack([haematoxylin, eosin], axis=2) @ DYES
    return np.asarray(245 * 10.0**-density, np.uint8)


def disc(side_px: int, share: float = 0.7) -> Pixels:
    """A disc of eosin with nuclei of haematoxylin, at 0.5 micrometres per pixel, that fills a share of the side."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side_px, :side_px] / side_px - 0.5
    inside = np.hypot(y, x) < share / 2
    nuclei = ndimage.binary_dilation(rng.random((side_px, side_px)) < 0.003, iterations=5)
    fibres = ndimage.gaussian_filter(rng.standard_normal((side_px, side_px)), (1, 8))
    return stained(inside * nuclei * 0.8, inside * (0.35 + 0.5 * fibres).clip(0.1))


def inked(picture: Pixels, where: np.ndarray, colour: tuple[int, int, int]) -> Pixels:
    """Draw over a picture with a transparent ink."""
    drawn = picture.copy()
    drawn[where] = (picture[where].astype(float) * np.array(colour) / 255).astype(np.uint8)
    return drawn
