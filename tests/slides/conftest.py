"""Function that writes small slides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preop.slides.levels import Pixels
from preop.slides.writing import write_slide


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes a picture as the platform stores slides."""

    def make(picture: Pixels, um_per_pixel: float = 0.5, name: str = "slide.tif") -> Path:
        path = tmp_path / name
        write_slide(iter(np.array_split(picture, 3)), picture.shape[:2], um_per_pixel, path)
        return path

    return make
