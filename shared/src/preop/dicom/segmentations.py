"""Label maps as DICOM SEG on the grid of their scan (DICOM PS3.3, A.51), by highdicom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.dicom.writing import code, equipment, uid_of, write_object
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image

SERIES_NUMBER = 9301


def write_segmentation(
    labels: Image, names: Mapping[str, int], headers: Sequence[Any], algorithm: Algorithm, title: str, path: Path
) -> Any:
    """Write a label map as binary segments, one a label that is there; frames without a voxel are left out.

    Parameters
    ----------
    labels
        Whole numbers (z, y, x), 0 outside, on any grid in the frame of reference of the scan.
    names
        What each label is called, and its value; a value without a name is called by its number.
    headers
        Of the scan that it was made of: patient, examination, and what it refers to.
    title
        Description of the new series.

    Returns
    -------
    The object, for reports that refer to it.

    Raises
    ------
    InvalidInputError
        If no voxel is labelled.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    values = [int(value) for value in np.unique(labels.voxels) if value != 0]
    if not values:
        raise InvalidInputError(f"{title} marks nothing: there is no segment to write.")
    by_value = {value: name for name, value in names.items()}
    numbered = np.zeros(labels.shape, dtype=np.uint16)
    for number, value in enumerate(values, 1):
        numbered[labels.voxels == value] = number
    made_by = hd.AlgorithmIdentificationSequence(
        name=algorithm.name, family=codes.DCM.ArtificialIntelligence, version=algorithm.version, source="preop"
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=by_value.get(value, str(value))[:64],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=code(by_value.get(value, str(value))),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=made_by,
            tracking_uid=uid_of(headers[0].SeriesInstanceUID, title, algorithm.version, "segment", value),
            tracking_id=f"{title} {by_value.get(value, value)}"[:64],
        )
        for number, value in enumerate(values, 1)
    ]
    content = (headers[0].SeriesInstanceUID, algorithm.name, algorithm.version, title, values)
    segmentation = hd.seg.Segmentation(
        source_images=list(headers),
        pixel_array=hd.Volume(
            numbered,
            affine(labels.geometry),
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            frame_of_reference_uid=str(headers[0].FrameOfReferenceUID),
        ),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=uid_of("series", *content),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid_of("object", *content, numbered.tobytes()),
        instance_number=1,
        device_serial_number=algorithm.version,
        content_label="PREOP",
        content_description=title[:64],
        series_description=title[:64],
        **equipment(algorithm.name, algorithm.version),
    )
    write_object(segmentation, path)
    return segmentation


def affine(grid: Geometry) -> NDArray[np.float64]:
    """Matrix (4, 4) from voxels (z, y, x) to places (x, y, z) in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(
        [(grid.world_mm(np.eye(3)[[axis]]) - grid.world_mm(np.zeros((1, 3))))[0] for axis in range(3)], axis=1
    )
    matrix[:3, 3] = grid.origin_mm
    return matrix
