"""Formats of scanners (NDPI, MRXS, DICOM, SCN, BIF and others) through OpenSlide, which the platform reads with too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError
from preop.slides.levels import Pixels, Reader, closed, levels_of, number_in, on_white

DEFAULT_TILE_PX = 512
LARGEST_TILE_PX = 8192
"""Side of a stored tile beyond which regions of the default size are read instead."""


class OpenSlideReader(Reader):
    """Regions of a slide in the size of its stored tiles.

    Parameters
    ----------
    um_per_pixel
        Of the finest level, for a file that does not state it.
    try_decoding
        Whether to decode a tile at once, for files that OpenSlide opens without being sure that it can.

    Raises
    ------
    InvalidInputError
        If OpenSlide cannot read the file, or :func:`levels_of` refuses its levels.
    """

    def __init__(self, path: Path, um_per_pixel: float | None = None, *, try_decoding: bool = False) -> None:
        import openslide

        self._path = path
        try:
            slide = openslide.OpenSlide(path)
            known = slide.properties
            sides = [
                [number_in(known.get(f"openslide.level[{level}].tile-{side}", "")) for side in ("height", "width")]
                for level in range(slide.level_count)
            ]
            self._factors = slide.level_downsamples
            shapes = [(height, width) for width, height in slide.level_dimensions]
            # Aperio's own field is tried for the decimal comma, which OpenSlide does not take for a number.
            stated = [number_in(known.get(f"openslide.mpp-{axis}", known.get("aperio.MPP", ""))) for axis in "yx"]
        # OpenSlide's own errors, those of ctypes, and texts where it promises numbers.
        except Exception as error:
            raise InvalidInputError(
                f"{path.name} cannot be read as a slide: it is damaged, cut off, or in a format that OpenSlide does not know "
                f"({error})."
            ) from error
        self._slide: openslide.OpenSlide | None = slide
        self.levels = levels_of(
            path,
            shapes,
            [(_side(height), _side(width)) for height, width in sides],
            [(stated[0], stated[1])] if stated[0] is not None and stated[1] is not None else [],
            um_per_pixel,
        )
        if try_decoding:
            self.read_tile(len(self.levels) - 1, 0, 0)

    def read_tile(self, level: int, row: int, column: int, out: Pixels | None = None) -> Pixels:  # noqa: ARG002
        """Read a region of the size of a stored tile.

        Raises
        ------
        InvalidInputError
            If its content is damaged.
        """
        import openslide

        slide = self._slide
        if slide is None:
            raise closed(self._path)
        height, width = self.levels[level].tile_shape
        factor = self._factors[level]
        corner = round(column * width * factor), round(row * height * factor)
        try:
            region = slide.read_region(corner, level, (width, height))
        except (openslide.OpenSlideError, OSError, ValueError, MemoryError) as error:
            raise InvalidInputError(
                f"{self._path.name} is damaged ({error}); copy or export the slide again."
            ) from error
        # Where nothing was scanned a region is transparent.
        return on_white(np.asarray(region))

    def close(self) -> None:
        """Close the file as soon as no thread reads from it any more."""
        self._slide = None


def vendor_of(path: Path) -> str | None:
    """Name of the format that OpenSlide sees; None where it knows none."""
    import openslide

    try:
        vendor: str | None = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None
    return vendor


def _side(stated: float | None) -> int:
    return int(stated) if stated is not None and 1 <= stated <= LARGEST_TILE_PX else DEFAULT_TILE_PX
