"""One review: the cohort, its records, and what helps to look at it. What the server hands out, without a word of HTTP."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from preop.errors import InvalidInputError, PreopError
from preop.imaging import Geometry, Image, components, read_geometry, read_image, read_labels, write_image
from preop.review.checks import read_mask_on
from preop.review.examination import Examination
from preop.review.networks import IN_BOX, Networks
from preop.review.proposals import Promptable, promptables
from preop.review.records import ORIGINAL, Records, Standing
from preop.review.results import Answer, Layer, Predictions, main_output
from preop.review.subjects import MaskKind, ReviewedCohort, Subject
from preop.review.tables import Phase
from preop.review.thumbnails import WINDOWS_HU, window_of
from preop.review.volumes import mask_bytes, to_nifti, voxel_in_view

KEPT_SCANS = 6
"""Scans in memory: those of the patient on the screen, and of the next one."""
IMPORTED = (".nii.gz", ".nii", ".nrrd", ".mha", ".dcm")
"""Endings of files that a mask is taken from: the formats of 3D Slicer and ITK-SNAP, and DICOM SEG and RTSTRUCT."""
DOWNLOADS = {"nifti": ".nii.gz", "nrrd": ".nrrd"}


@dataclass
class Review:
    """Everything that a running review consists of.

    Attributes
    ----------
    predictions
        What the algorithm has said, where a folder of results was named.
    reader_study
        Whether readers give their own answer before they see that.
    """

    cohort: ReviewedCohort
    records: Records
    examination: Examination
    networks: Networks
    predictions: Predictions | None = None
    reader_study: bool = False
    methods: Mapping[str, Promptable] = field(default_factory=promptables)
    _scans: OrderedDict[Path, Image] = field(default_factory=OrderedDict, repr=False)
    _reading: dict[Path, threading.Lock] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def subject(self, standing: Standing) -> Subject:
        """Give the row of the table that a patient stands in."""
        return next(subject for subject in self.cohort.subjects if subject.name == standing.name)

    def scan_path(self, standing: Standing, slug: str) -> Path:
        """Find a scan of a patient by its slug.

        Raises
        ------
        InvalidInputError
            If the patient has none.
        """
        path = self.subject(standing).scans.get(slug)
        if path is None:
            raise InvalidInputError(f"{standing.name} has no {slug}.")
        return path

    def scan(self, standing: Standing, slug: str) -> Image:
        """Read a scan of a patient, or take it from those read last."""
        path = self.scan_path(standing, slug)
        with self._lock:
            reading = self._reading.setdefault(path, threading.Lock())
        with reading:  # who asks for it meanwhile waits, and does not read it too
            with self._lock:
                if path in self._scans:
                    self._scans.move_to_end(path)
                    return self._scans[path]
            image = read_image(path)
            with self._lock:
                self._scans[path] = image
                while len(self._scans) > KEPT_SCANS:
                    self._scans.popitem(last=False)
            return image

    def prepare(self, standing: Standing) -> None:
        """Read the scans that masks are drawn on, before the patient is opened."""
        for slug in dict.fromkeys(kind.of for kind in self.cohort.masks):
            if slug in self.subject(standing).scans:
                with suppress(PreopError):  # what is wrong with it is told when the patient is opened
                    self.scan(standing, slug)

    def grid(self, standing: Standing, slug: str) -> Geometry:
        """Give the grid on which a mask is drawn, without reading the voxels of its scan."""
        path = self.scan_path(standing, self.cohort.mask(slug).of)
        with self._lock:
            known = self._scans.get(path)
        return known.geometry if known else read_geometry(path)

    def mask(self, standing: Standing, slug: str, number: int | None = None) -> Image | None:
        """Read a mask of a patient; None where there is none yet.

        Parameters
        ----------
        number
            Of a saved one, 0 for the original; the one that holds now if None.
        """
        self.cohort.mask(slug)  # refuses another slug
        path = self.records.path_of(standing, slug, number)
        if path is None:
            return None
        original = path == self.subject(standing).masks.get(slug)
        label = self.subject(standing).mask_labels.get(slug) if original else None
        return read_mask_on(path, self.grid(standing, slug), label)

    def scan_for_viewer(self, standing: Standing, slug: str, base: str) -> Iterator[bytes | memoryview]:
        """Give a scan as the viewer takes it, in the frame of the scan that is drawn on."""
        frame = self.scan(standing, base).geometry
        return to_nifti(self.scan(standing, slug), frame)

    def layer_for_viewer(self, standing: Standing, slug: str, base: str, reader: str) -> Iterator[bytes | memoryview]:
        """Give a label map or heat map of the algorithm as the viewer takes it."""
        return to_nifti(read_image(self._layer(standing, slug, reader).path), self.scan(standing, base).geometry)

    def result_as_mask(self, standing: Standing, slug: str, layer: str, reader: str) -> bytes:
        """Give a label map of the algorithm as a mask to start from, as the viewer draws it; nothing is saved by that.

        Parameters
        ----------
        slug
            The mask that it would be.
        layer
            The output of the algorithm.

        Raises
        ------
        InvalidInputError
            If there is none that the reader may see, it is no label map of the same scan, or has other labels.
        """
        found, kind = self._layer(standing, layer, reader), self.cohort.mask(slug)
        if not found.is_labels or found.of != kind.of:
            raise InvalidInputError(f"The result {layer} outlines nothing on {kind.of}: {slug} cannot start from it.")
        labels = read_labels(found.path, like=self.grid(standing, slug), scan=kind.of)
        if found.of_kinds and not kind.labels:
            labels = numbered(labels)
        return mask_bytes(_with_labels_of(kind, labels, f"The result {layer}"))

    def _layer(self, standing: Standing, slug: str, reader: str) -> Layer:
        answer = self.answer(standing, reader)
        layer = next((each for each in answer.layers if each.slug == slug), None) if answer else None
        if layer is None:
            raise InvalidInputError(f"There is no result {slug} of {standing.name}.")
        return layer

    def mask_for_viewer(self, standing: Standing, slug: str, number: int | None = None) -> bytes | None:
        """Give a mask as the viewer draws it, one byte a voxel; None where there is none."""
        mask = self.mask(standing, slug, number)
        return None if mask is None else mask_bytes(mask)

    def mask_file(self, standing: Standing, slug: str, form: str) -> tuple[str, bytes]:
        """Give the mask that holds as a file for another program: its name and content.

        Raises
        ------
        InvalidInputError
            If the format is unknown, or there is no mask.
        """
        if form not in DOWNLOADS:
            raise InvalidInputError(f"Masks are given as {' or '.join(DOWNLOADS)}, not as {form!r}.")
        mask = self.mask(standing, slug)
        if mask is None:
            raise InvalidInputError(f"{standing.name} has no {slug} yet.")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"mask{DOWNLOADS[form]}"
            write_image(mask, path)
            number = self.records.numbers(standing).get(slug, ORIGINAL)
            return f"patient{standing.id}_{slug}_{number}{DOWNLOADS[form]}", path.read_bytes()

    def imported(self, standing: Standing, slug: str, name: str, content: bytes) -> bytes:
        """Read a mask that another program has written, as the viewer draws it; nothing is saved by that.

        Parameters
        ----------
        name
            As the browser gives it: its ending alone is looked at.
        """
        suffix = next((each for each in IMPORTED if name.lower().endswith(each)), None)
        if suffix is None:
            raise InvalidInputError(
                f"A mask cannot be read from {Path(name).name[:80]!r}; expected one of {', '.join(IMPORTED)}."
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"import{suffix}"
            path.write_bytes(content)
            labels = read_labels(path, like=self.grid(standing, slug))
        return mask_bytes(_with_labels_of(self.cohort.mask(slug), labels, "The file"))

    def answer(self, standing: Standing, reader: str) -> Answer | None:
        """Give what the algorithm says about a patient, to a reader who may see it.

        In a reader study that is who has given an own answer before.
        """
        if self.predictions is None or not self.may_see(standing, reader):
            return None
        return self.predictions.of(standing.name)

    def may_see(self, standing: Standing, reader: str) -> bool:
        """Whether a reader may see the algorithm's answer about a patient."""
        if not self.reader_study:
            return True
        return any(row.reader == reader and row.phase == Phase.BEFORE for row in self.records.readings(standing.id))

    def said(self, standing: Standing) -> str:
        """Write what the algorithm says about a patient, for the record of a reading; "" where it says nothing."""
        answer = self.predictions.of(standing.name) if self.predictions else None
        return "" if answer is None else str(answer.said)

    def description(self) -> dict[str, Any]:
        """Say what is reviewed, for the pages."""
        main = main_output(self.cohort.algorithm)
        return {
            "title": self.cohort.algorithm.title,
            "study": self.cohort.algorithm.name,
            "table": self.cohort.table.name,
            "scans": [
                {"slug": scan.slug, "title": scan.title, "modality": scan.modality} for scan in self.cohort.scans
            ],
            "masks": [
                {"slug": mask.slug, "title": mask.title, "of": mask.of, "labels": dict(mask.labels)}
                for mask in self.cohort.masks
            ],
            "windows": WINDOWS_HU,
            "networks": [{"name": name, "of": self.networks.scans.get(name)} for name in self.networks.names],
            "methods": [
                {
                    "name": name,
                    "title": method.title,
                    "needs": method.needs,
                    "of": self.networks.scans.get(name.removeprefix(IN_BOX)),
                }
                for name, method in self.methods.items()
            ],
            "results": self.predictions is not None,
            "reader_study": self.reader_study,
            "answer": {"title": main.description, "choices": list(main.choices)},
            "notes": list(self.cohort.notes),
        }

    def window(self, standing: Standing, slug: str) -> tuple[float, float]:
        """Give the lowest and highest value in view of a scan at first."""
        modality = next(scan.modality for scan in self.cohort.scans if scan.slug == slug)
        return window_of(lambda: self.scan(standing, slug), modality)

    def voxel_of(self, standing: Standing, base: str, position_mm: tuple[float, float, float]) -> list[int]:
        """Give the voxel (x, y, z) of the viewer at a position in the world."""
        return voxel_in_view(self.scan(standing, base).geometry, position_mm)


def numbered(labels: Image) -> Image:
    """Give each connected part of a kind a number of its own."""
    numbers = np.zeros(labels.shape, dtype=np.uint16)
    for value in np.unique(labels.voxels[labels.voxels != 0]):
        parts, _ = components(labels.with_voxels(labels.voxels == value))
        inside = parts.voxels > 0
        numbers[inside] = parts.voxels[inside] + numbers.max()
    return labels.with_voxels(numbers)


def _with_labels_of(kind: MaskKind, labels: Image, what: str) -> Image:
    """Give a label map the labels of a mask: its only one takes the place of any other one."""
    values = {int(value) for value in np.unique(labels.voxels)} - {0}
    if not kind.labels or values <= set(kind.labels.values()):
        return labels
    if len(values) != 1 or len(kind.labels) != 1:
        expected = ", ".join(f"{value} {label}" for label, value in kind.labels.items())
        raise InvalidInputError(f"{what} holds the labels {sorted(values)}; expected {expected}.")
    return labels.with_voxels((labels.voxels != 0).astype(np.uint8) * next(iter(kind.labels.values())))
