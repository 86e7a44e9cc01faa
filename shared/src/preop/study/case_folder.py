"""A case in the platform's layout, with its ``inputs.json``, from images of any format and values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from preop.atomic import replacing_folder
from preop.errors import InvalidInputError, InvalidOutputError
from preop.folders import is_empty
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.cases import INPUTS_FILE, check_interface, item_of, read_case
from preop.grandchallenge.values import JSON, check_value, to_json
from preop.imaging import Geometry, Image, check_mm, read_image, read_labels, read_mask, region_names, write_image
from preop.imaging.tiff import TIFF_SUFFIXES

_SLIDE = "SM"


def lay_out_case(
    algorithm: Algorithm,
    folder: Path,
    images: Mapping[str, Path],
    values: Mapping[str, JSON] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    um_per_pixel: float | None = None,
) -> list[str]:
    """Write a case as the platform's ``/input``.

    Parameters
    ----------
    folder
        A new or empty one; it gets ``inputs.json`` and what that names.
    images
        File, or folder of DICOM slices, of each image input: scans become MetaImage, masks lie on the grid of their scan,
        slides become the platform's TIFF.
    values
        Content of each value input.
    labels
        Which region of a segmentation is meant, where it holds several.
    um_per_pixel
        Of a slide whose file does not state it.

    Returns
    -------
    What was corrected or converted when the images were read, in sentences.

    Raises
    ------
    InvalidInputError
        If the inputs are no combination that the algorithm accepts, or one cannot be read; after its slug.
    InvalidOutputError
        If the folder holds anything.
    """
    values = values or {}
    check_interface(algorithm, (*images, *values))
    if not is_empty(folder):
        raise InvalidOutputError(f"{folder} is not empty: name a new folder, so that nothing is overwritten.")
    with replacing_folder(folder) as partial:
        items: list[JSON] = []
        notes: list[str] = []
        grids: dict[str, Geometry] = {}
        for socket in sorted(algorithm.inputs, key=lambda each: each.segmentation_of is not None):
            place = partial / socket.relative_path
            if socket.slug in images:
                place.mkdir(parents=True)
                try:
                    source, label = images[socket.slug], (labels or {}).get(socket.slug)
                    written, told = _write(socket, source, place / folder.name, grids, label, um_per_pixel)
                except InvalidInputError as error:
                    raise InvalidInputError(f"{socket.slug}: {error}") from error
                notes += [f"{socket.slug}: {note}" for note in told]
                items.append(item_of(algorithm, socket.slug, image_name=written.name))
            elif socket.slug in values:
                check_value(values[socket.slug], socket, algorithm.json_schemas.get(socket.slug))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(to_json(values[socket.slug]), encoding="utf-8")
                items.append(item_of(algorithm, socket.slug, value=values[socket.slug]))
        (partial / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")
        read_case(algorithm, partial)
    return notes


def _write(
    socket: Socket, source: Path, stem: Path, grids: dict[str, Geometry], label: str | None, um_per_pixel: float | None
) -> tuple[Path, tuple[str, ...]]:
    """Write one image, and give its file and notes; the place of a scan's voxels is noted for its segmentation."""
    slide, volume = stem.with_name(f"{stem.name}.tif"), stem.with_name(f"{stem.name}.mha")
    if socket.series is not None and _SLIDE in socket.series.modality:
        # Studies of scans need not load what reads slides.
        from preop.slides import convert_slide

        convert_slide(source, slide, um_per_pixel)
        return slide, ()
    if source.suffix.lower() in TIFF_SUFFIXES:  # the mask of a slide
        shutil.copyfile(source, slide)
        return slide, ()
    image = _volume(socket, source, grids.get(socket.segmentation_of or ""), label)
    check_mm(image.geometry, name=socket.slug)
    grids[socket.slug] = image.geometry
    write_image(image, volume)
    return volume, image.notes


def _volume(socket: Socket, source: Path, grid: Geometry | None, label: str | None) -> Image:
    if grid is None:
        return read_image(source)
    one = socket.kind is Kind.SEGMENTATION and len(socket.overlay_segments) == 1
    if one or (
        label and not region_names(source)
    ):  # a pattern of several regions is known of contours and segments alone
        mask = read_mask(source, label=label, like=grid)
        value = np.uint8(min(socket.overlay_segments.values(), default=1))
        return Image(mask.voxels.astype(np.uint8) * value, mask.geometry, mask.notes)
    return read_labels(source, label=label, like=grid, scan=str(socket.segmentation_of))
