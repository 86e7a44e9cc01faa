"""Chosen series as the images of a case: scans in their units, masks on the grid of their scan, slides as TIFF."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from preop.dicom.choosing import Choice
from preop.dicom.series import Content, Series
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.imaging import Geometry, Image, read_labels, read_mask, write_image
from preop.imaging.dicom.series import read_series
from preop.slides import convert_slide


def write_inputs(
    algorithm: Algorithm, choices: Sequence[Choice], folder: Path
) -> tuple[dict[str, Path], dict[str, tuple[str, ...]]]:
    """Write the chosen series of a patient into a folder, each under the slug of its input.

    Returns
    -------
    File of each input, and what a reader should know of it.

    Raises
    ------
    InvalidInputError
        If a series is no regular volume, a PET cannot become SUV, or contours do not fit their scan; after the slug.
    """
    used = {choice.use: choice for choice in choices if choice.use}
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    notes: dict[str, tuple[str, ...]] = {}
    grids: dict[str, Geometry] = {}
    for socket in sorted(algorithm.inputs, key=lambda each: each.segmentation_of is not None):
        choice = used.get(socket.slug)
        if choice is None:
            continue
        try:
            if choice.series.content is Content.SLIDE:
                paths[socket.slug] = folder / f"{socket.slug}.tif"
                write_slide_of(choice.series, paths[socket.slug])
                continue
            grid = grids.get(socket.segmentation_of or "")
            image = _image(choice, socket, grid)
        except InvalidInputError as error:
            raise InvalidInputError(f"{socket.slug}: {error}") from error
        grids[socket.slug], notes[socket.slug] = image.geometry, image.notes
        paths[socket.slug] = folder / f"{socket.slug}.mha"
        write_image(image, paths[socket.slug])
    return paths, notes


def read_volume(series: Series) -> Image:
    """Read the volume of a series, wherever its files lie."""
    with series.files() as files:
        return read_series(files).image


def _image(choice: Choice, socket: Socket, grid: Geometry | None) -> Image:
    if choice.series.content is Content.VOLUME:
        return read_volume(choice.series)
    if grid is None:
        raise InvalidInputError(f"there is no {socket.segmentation_of}, on which it was drawn")
    with choice.series.files() as files:
        if socket.kind is not Kind.SEGMENTATION:  # one number a structure
            return read_labels(files[0], label=choice.region or "*", like=grid)
        mask = read_mask(files[0], label=choice.region or None, like=grid)
    value = min(socket.overlay_segments.values())
    return Image(mask.voxels.astype(np.uint8) * np.uint8(value), mask.geometry, mask.notes)


def write_slide_of(series: Series, path: Path) -> None:
    """Write a slide of any scanner as the platform stores it."""
    with _slide_file(series) as source:
        convert_slide(source, path)


@contextmanager
def _slide_file(series: Series) -> Iterator[Path]:
    """Give what opens a slide: its file, or a folder with the files of a DICOM slide alone."""
    with series.files() as files:
        if series.is_dicom:
            with _together(files) as folder:
                yield folder
        else:
            yield files[0]


@contextmanager
def _together(files: Sequence[Path]) -> Iterator[Path]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="preop-slide-") as name:
        folder = Path(name)
        for number, file in enumerate(files):
            target = folder / f"{number:06d}.dcm"
            try:
                target.symlink_to(file.absolute())
            except OSError:  # a system without links
                shutil.copyfile(file, target)
        yield folder


def inputs_of(paths: Collection[str], algorithm: Algorithm) -> tuple[str, ...] | None:
    """Give the largest combination of inputs that an algorithm accepts of those there are; None without any.

    Values are left aside, and so is a scan on which a network would have to draw what no person has drawn.
    """
    images = {socket.slug for socket in algorithm.inputs if socket.kind.is_image}
    fitting = [tuple(slug for slug in interface if slug in images) for interface in algorithm.outlined_interfaces]
    fitting = [slugs for slugs in fitting if slugs and set(slugs) <= set(paths)]
    return max(fitting, key=len) if fitting else None
