"""Pictures whose every pixel is known."""

import numpy as np

from preop.slides.levels import Pixels


def gradient(height: int, width: int) -> Pixels:
    """A picture that JPEG hardly changes, in which every place has a colour of its own."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, (y + x) * 255 // (height + width)], axis=2).astype(np.uint8)
