"""Findings as a structured report: measurements by TID 1500 (DICOM PS3.16), by highdicom.

The values of an algorithm's outputs, each segment with its volume, and each point with its probability. Names that no
standard has a code for have one of this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preop.dicom.writing import MANUFACTURER, code, equipment, uid_of, write_object
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.values import JSON
from preop.imaging import Image

SERIES_NUMBER = 9302
MOST_POINTS = 200


def write_report(
    values: Mapping[str, JSON],
    segmentations: Sequence[tuple[Any, Image]],
    scans: Sequence[Sequence[Any]],
    algorithm: Algorithm,
    path: Path,
) -> Any:
    """Write what an algorithm found as a Comprehensive 3D SR.

    Parameters
    ----------
    values
        Content of each output that is a number, a text, a truth value or points, by slug.
    segmentations
        Each written SEG, and the label map that it was made of.
    scans
        Headers of each scan; those of the first say of which patient and examination.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    first = scans[0][0]
    groups = [*_of_values(values, algorithm, scans), *_of_points(values, algorithm, scans)]
    groups += [group for each in segmentations for group in _of_segments(*each)]
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", algorithm.name, algorithm.version),
        name=algorithm.name,
        manufacturer_name=MANUFACTURER,
        model_name=f"{algorithm.name} {algorithm.version}",
    )
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    identity = (first.SeriesInstanceUID, algorithm.name, algorithm.version)
    report = hd.sr.Comprehensive3DSR(
        evidence=[*(header for scan in scans for header in scan), *(each for each, _ in segmentations)],
        content=content[0],
        series_instance_uid=uid_of("series", *identity, "report"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid_of(
            "object", *identity, "report", sorted(values.items()), [s.SOPInstanceUID for s, _ in segmentations]
        ),
        instance_number=1,
        is_complete=True,
        series_description=f"{algorithm.title}: findings"[:64],
        manufacturer=equipment(algorithm.name, algorithm.version)["manufacturer"],
        device_serial_number=algorithm.version,
        manufacturer_model_name=algorithm.name,
        software_versions=equipment(algorithm.name, algorithm.version)["software_versions"],
    )
    write_object(report, path)
    return report


def _of_values(values: Mapping[str, JSON], algorithm: Algorithm, scans: Sequence[Sequence[Any]]) -> list[Any]:
    """Make one group of all numbers, texts and truth values."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    sockets = {socket.slug: socket for socket in algorithm.outputs}
    measurements, evaluations = [], []
    for slug, value in values.items():
        name = code(slug, _named(sockets[slug]))
        if sockets[slug].kind in {Kind.FLOAT, Kind.INTEGER}:
            measurements.append(hd.sr.Measurement(name=name, value=float(value), unit=codes.UCUM.NoUnits))
        elif sockets[slug].kind in {Kind.STRING, Kind.BOOL}:
            said = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            evaluations.append(hd.sr.QualitativeEvaluation(name=name, value=code(said)))
    if not measurements and not evaluations:
        return []
    return [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(algorithm.title, algorithm.name, scans[0][0].SeriesInstanceUID),
            finding_type=code(algorithm.name, algorithm.title),
            measurements=measurements,
            qualitative_evaluations=evaluations,
            source_images=[
                hd.sr.SourceImageForMeasurementGroup(
                    referenced_sop_class_uid=scan[0].SOPClassUID, referenced_sop_instance_uid=scan[0].SOPInstanceUID
                )
                for scan in scans
            ],
        )
    ]


def _of_segments(segmentation: Any, labels: Image) -> list[Any]:
    """Make a group of each segment, with its volume."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    series = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    values = [int(value) for value in np.unique(labels.voxels) if value != 0]
    groups = []
    for description, value in zip(segmentation.SegmentSequence, values, strict=True):
        volume_mm3 = float((labels.voxels == value).sum() * labels.geometry.voxel_volume_mm3)
        groups.append(
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier(
                    uid=description.TrackingUID, identifier=description.TrackingID
                ),
                referenced_segment=hd.sr.ReferencedSegment(
                    sop_class_uid=segmentation.SOPClassUID,
                    sop_instance_uid=segmentation.SOPInstanceUID,
                    segment_number=int(description.SegmentNumber),
                    source_series=hd.sr.SourceSeriesForSegmentation(referenced_series_instance_uid=series),
                ),
                finding_type=code(description.SegmentLabel),
                measurements=[
                    hd.sr.Measurement(name=codes.SCT.Volume, value=volume_mm3, unit=codes.UCUM.CubicMillimeter)
                ],
            )
        )
    return groups


def _of_points(values: Mapping[str, JSON], algorithm: Algorithm, scans: Sequence[Sequence[Any]]) -> list[Any]:
    """Make a group of each point, with its probability."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    groups = []
    for socket in algorithm.outputs:
        content = values.get(socket.slug)
        if socket.kind is not Kind.MULTIPLE_POINTS or not isinstance(content, Mapping):
            continue
        for number, point in enumerate(content.get("points", [])[:MOST_POINTS], 1):
            region = hd.sr.ImageRegion3D(
                graphic_type=hd.sr.GraphicTypeValues3D.POINT,
                graphic_data=np.array([point["point"]], dtype=np.float64),
                frame_of_reference_uid=str(scans[0][0].FrameOfReferenceUID),
            )
            probability = point.get("probability")
            name = str(point.get("name") or number)
            groups.append(
                hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                    tracking_identifier=_tracking(
                        f"{name} ({number})", socket.slug, scans[0][0].SeriesInstanceUID, number
                    ),
                    referenced_region=region,
                    finding_type=code(socket.slug, _named(socket)),
                    measurements=[]
                    if probability is None
                    else [
                        hd.sr.Measurement(name=codes.DCM.Probability, value=float(probability), unit=codes.UCUM.NoUnits)
                    ],
                )
            )
    return groups


def _tracking(identifier: str, *parts: object) -> Any:
    import highdicom as hd

    return hd.sr.TrackingIdentifier(uid=uid_of("tracking", *parts), identifier=identifier)


def _named(socket: Socket) -> str:
    """What an output is called for a reader: its slug in words."""
    return socket.slug.replace("-", " ").capitalize()
