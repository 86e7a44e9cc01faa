"""Annotated slides: the folder of a patient with slide, tissue map and points, laid out as ``simulation`` does."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image, read_tiff
from preop.slides import Slide
from preop.slides.tiling import UM_PER_MM, check_flat
from preop.tables import number

from .definitions import CellKind
from .findings import INPUT_UM, MAP_UM, NOT_ANNOTATED, Region

SLIDE_FILE, TISSUE_FILE, POINTS_FILE = "primary-tumour-slide.tif", "tissue-map.tif", "points.csv"
POINT_COLUMNS = ("kind", "y_um", "x_um", "cells")
REGION_PX = 1024


def read_regions(folder: Path) -> Iterator[Region]:
    """Cut the annotated parts of a patient's slide into squares of a millimetre.

    Parameters
    ----------
    folder
        Named after the patient. ``primary-tumour-slide.tif``; ``tissue-map.tif`` with the labels of
        :class:`~.definitions.TissueLabel` over the whole slide, at any resolution, 255 where nothing is annotated; and
        ``points.csv`` with the columns kind (lymphocyte or bud), y_um and x_um, from the slide's corner: every cell of both
        kinds in what is annotated.

    Raises
    ------
    InvalidInputError
        If a file is missing or damaged, a kind is unknown, or nothing is annotated.
    """
    points_um, kinds = _read_points(folder / POINTS_FILE)
    annotated = read_tiff(folder / TISSUE_FILE)
    check_flat(annotated)
    if (annotated.voxels == NOT_ANNOTATED).all():
        raise InvalidInputError(
            f"Nothing is annotated in {folder.name}/{TISSUE_FILE}: all its pixels are {NOT_ANNOTATED}."
        )
    with Slide(folder / SLIDE_FILE) as slide:
        side_um = REGION_PX * INPUT_UM
        for corner_um in np.ndindex(*(int(-(-length // side_um)) for length in slide.size_um)):
            top_um, left_um = (place * side_um for place in corner_um)
            labels = _labels(annotated, (top_um, left_um))
            if (labels == NOT_ANNOTATED).all():
                continue
            places_um = points_um - (top_um, left_um)
            inside = ((places_um >= 0) & (places_um < side_um)).all(axis=1)
            yield Region(
                pixels=slide.read_region((top_um, left_um), (REGION_PX, REGION_PX), INPUT_UM),
                labels=labels,
                points_um=places_um[inside].astype(np.float32),
                kinds=kinds[inside],
                patient=folder.name,
            )


def _labels(annotated: Image, corner_um: tuple[float, float]) -> NDArray[np.uint8]:
    """Labels of the squares of a region, each that of its middle; not annotated outside the map."""
    squares = round(REGION_PX * INPUT_UM / MAP_UM)
    rows, columns = (
        ((start_um + (np.arange(squares) + 0.5) * MAP_UM) / UM_PER_MM / spacing_mm).astype(np.intp)
        for start_um, spacing_mm in zip(corner_um, annotated.spacing_mm, strict=True)
    )
    height, width = annotated.shape
    labels = np.full((squares, squares), NOT_ANNOTATED, np.uint8)
    within = np.ix_(rows < height, columns < width)
    labels[within] = annotated.voxels[np.ix_(rows[rows < height], columns[columns < width])]
    return labels


def _read_points(path: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    known = {kind.name.lower(): kind for kind in CellKind}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        points = np.array([(number(row["y_um"], "y_um"), number(row["x_um"], "x_um")) for row in rows]).reshape(-1, 2)
        kinds = np.array([known[row["kind"]] for row in rows], np.uint8)
    except OSError:
        raise InvalidInputError(f"There is no {path.name} in {path.parent}.") from None
    except (KeyError, AttributeError, ValueError, InvalidInputError) as error:
        raise InvalidInputError(
            f"{path.parent.name}/{path.name} cannot be used ({error}); expected the columns kind ({' or '.join(known)}), y_um "
            "and x_um."
        ) from None
    return points, kinds
