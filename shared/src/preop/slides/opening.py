"""Which reader opens a slide: this library's own for TIFF and SVS, OpenSlide for what it knows better."""

from __future__ import annotations

from pathlib import Path

from preop.errors import InvalidInputError
from preop.imaging.tiff import TIFF_STARTS, check_is_tiff
from preop.slides.dicom_folder import whole_slide_in
from preop.slides.levels import Reader
from preop.slides.scanner_formats import OpenSlideReader, vendor_of
from preop.slides.tiff import ColoursNotReadError, TiffReader

_TIFF_SUFFIXES = (".tif", ".tiff", ".svs")
_PLAIN = (None, "generic-tiff", "aperio")
"""What OpenSlide calls files whose tags say all; pages of others need more to be understood."""

_OTHER_LAYOUTS = ("is_ndpi", "is_philips", "is_scn", "is_bif")  # the same, by tifffile


def open_slide(path: Path, um_per_pixel: float | None) -> Reader:
    """Open a slide.

    Parameters
    ----------
    um_per_pixel
        Of the finest level, for a file that does not state it.

    Raises
    ------
    InvalidInputError
        As :class:`preop.slides.Slide`.
    """
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist.")
    if path.is_dir():
        return OpenSlideReader(whole_slide_in(path), um_per_pixel)
    if not _is_plain_tiff(path):
        return OpenSlideReader(path, um_per_pixel)
    try:
        return TiffReader(path, um_per_pixel)
    except ColoursNotReadError as not_read:
        try:
            return OpenSlideReader(path, um_per_pixel, try_decoding=True)
        except InvalidInputError:
            raise not_read from None


def _is_plain_tiff(path: Path) -> bool:
    if path.suffix.lower() in _TIFF_SUFFIXES:
        check_is_tiff(path)
    with path.open("rb") as file:
        starts_so = file.read(4) in TIFF_STARTS
    if not starts_so:
        return False
    return vendor_of(path) in _PLAIN and not _is_other_layout(path)


def _is_other_layout(path: Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return any(bool(getattr(tiff, layout)) for layout in _OTHER_LAYOUTS)
    # The reader will say that it is damaged.
    except Exception:  # noqa: BLE001
        return False
