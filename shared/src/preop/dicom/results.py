"""What an algorithm made of a case as DICOM objects beside the series it was made of, for a PACS to show."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preop.dicom.documents import write_document
from preop.dicom.reports import write_report
from preop.dicom.segmentations import write_segmentation
from preop.dicom.series import Series
from preop.dicom.writing import headers_of
from preop.errors import InvalidOutputError
from preop.grandchallenge.algorithm import Kind
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image

_VALUES = {Kind.FLOAT, Kind.INTEGER, Kind.STRING, Kind.BOOL, Kind.MULTIPLE_POINTS}


def write_results(
    outputs: CaseOutputs, sources: Mapping[str, Series], folder: Path, *, pdf: Path | None = None
) -> list[Path]:
    """Write segmentations as SEG, values and points as a structured report, and the page of the case as a document.

    Parameters
    ----------
    sources
        Series of each scan of the case, by slug.
    pdf
        The page of the case, where it could be printed.

    Returns
    -------
    The files that were written.

    Raises
    ------
    InvalidOutputError
        If there is no series that results could refer to.
    """
    with warnings.catch_warnings():  # of values in the original headers, which stay as they are
        warnings.simplefilter("ignore")
        return _written(outputs, sources, folder, pdf)


def _written(outputs: CaseOutputs, sources: Mapping[str, Series], folder: Path, pdf: Path | None) -> list[Path]:
    algorithm = outputs.algorithm
    headers = {slug: headers_of(series) for slug, series in sources.items()}
    if not headers:
        raise InvalidOutputError("There is no series that results could refer to.")
    scans = [headers[socket.slug] for socket in algorithm.inputs if socket.slug in headers]
    written: list[Path] = []
    segmentations: list[tuple[Any, Image]] = []
    for socket in algorithm.outputs_of(outputs.case.interface):
        of = headers.get(socket.segmentation_of or "")
        if socket.kind is not Kind.SEGMENTATION or of is None:
            continue
        labels = outputs.image(socket.slug)
        if labels.voxels.any():
            path = folder / f"{socket.slug}.dcm"
            title = f"{algorithm.title}: {socket.slug.replace('-', ' ')}"
            segmentation = write_segmentation(labels, socket.overlay_segments, of, algorithm, title, path)
            segmentations.append((segmentation, labels))
            written.append(path)
    values = {socket.slug: outputs.value(socket.slug) for socket in algorithm.outputs if socket.kind in _VALUES}
    write_report(values, segmentations, scans, algorithm, folder / "findings.dcm")
    written.append(folder / "findings.dcm")
    if pdf is not None:
        every = [header for scan in scans for header in scan]
        write_document(pdf, every, algorithm, f"{algorithm.title}: case page", folder / "case-page.dcm")
        written.append(folder / "case-page.dcm")
    return written
