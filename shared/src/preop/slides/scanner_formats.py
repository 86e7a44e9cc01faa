"""Formats of scanners (NDPI, MRXS, DICOM, SCN, BIF and others) through OpenSlide, which the platform reads with too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError
from preop.slides.levels import WHITE, Pixels, Reader, levels_of

DEFAULT_TILE_PX = 512


class OpenSlideReader(Reader):
    """Regions of a slide in the size of its stored tiles.

    Raises
    ------
    InvalidInputError
        If OpenSlide cannot read the file, or :func:`levels_of` refuses its levels.
    """

    def __init__(self, path: Path) -> None:
        import openslide

        self._path = path
        try:
            self._slide = openslide.OpenSlide(path)
        except (openslide.OpenSlideError, OSError) as error:
            raise InvalidInputError(
                f"{path.name} cannot be read as a slide: it is damaged, cut off, or in a format that OpenSlide does not know."
            ) from error
        known = self._slide.properties
        stated = [known.get(f"openslide.mpp-{axis}") for axis in "yx"]
        self._factors = self._slide.level_downsamples
        self.levels = levels_of(
            path,
            [(height, width) for width, height in self._slide.level_dimensions],
            [
                (
                    int(known.get(f"openslide.level[{level}].tile-height", DEFAULT_TILE_PX)),
                    int(known.get(f"openslide.level[{level}].tile-width", DEFAULT_TILE_PX)),
                )
                for level in range(self._slide.level_count)
            ],
            (float(stated[0]), float(stated[1])) if stated[0] and stated[1] else None,
        )

    def read_tile(self, level: int, row: int, column: int, out: Pixels | None = None) -> Pixels:  # noqa: ARG002
        """Read a region of the size of a stored tile.

        Raises
        ------
        InvalidInputError
            If its content is damaged.
        """
        import openslide

        height, width = self.levels[level].tile_shape
        factor = self._factors[level]
        corner = round(column * width * factor), round(row * height * factor)
        try:
            region = self._slide.read_region(corner, level, (width, height))
        except openslide.OpenSlideError as error:
            raise InvalidInputError(
                f"{self._path.name} is damaged ({error}); copy or export the slide again."
            ) from error
        # Where nothing was scanned a region is transparent.
        pixels = np.asarray(region)
        return np.where(pixels[..., 3:] == 0, np.uint8(WHITE), pixels[..., :3])

    def close(self) -> None:
        """Close the file."""
        self._slide.close()
