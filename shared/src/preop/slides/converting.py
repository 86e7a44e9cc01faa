"""A slide of any scanner as the platform stores it."""

from __future__ import annotations

from pathlib import Path

from preop.slides.slide import Slide
from preop.slides.writing import write_slide

_STRIP_PX = 1024


def convert_slide(source: Path, target: Path, um_per_pixel: float | None = None) -> None:
    """Write a slide (SVS, NDPI, MRXS, DICOM and others) as the platform's TIFF, strip by strip.

    Parameters
    ----------
    source
        As for :class:`preop.slides.Slide`.
    um_per_pixel
        Of the finest level, for a file that does not state it.

    Raises
    ------
    InvalidInputError
        If it cannot be read, or does not state its resolution and none is given.
    InvalidOutputError
        If the file cannot be written.
    """
    with Slide(source, um_per_pixel=um_per_pixel) as slide:
        (height, width), um = slide.levels[0].shape, slide.um_per_pixel
        strips = (
            slide.read_region((top * um, 0), (min(_STRIP_PX, height - top), width), um)
            for top in range(0, height, _STRIP_PX)
        )
        write_slide(strips, (height, width), um, target)
