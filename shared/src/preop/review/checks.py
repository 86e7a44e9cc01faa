"""What is wrong or strange about the masks of a cohort, found without anyone looking."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError, PreopError
from preop.imaging import (
    Geometry,
    Image,
    check_drawn,
    check_hu,
    check_suv,
    components,
    crop,
    read_geometry,
    read_labels,
    read_mask,
)
from preop.radiomics.settings import Modality
from preop.review.subjects import MaskKind

MIN_COHORT = 8
"""Fewer masks give no range to compare a volume with."""
FAR_OUT = 3.0
"""Times the distance between the quartiles beyond them, of the logarithm of the volume (Tukey 1977: "far out")."""
MIN_SHARE = 0.01
"""A component with less of the mask than this is a crumb, of which the sentence tells apart."""


class Kind(StrEnum):
    """Kinds of findings, by which the work list is filtered."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    GEOMETRY = "geometry"
    EMPTY = "empty"
    COMPONENTS = "components"
    EDGE = "edge"
    VOLUME = "volume"
    BODY = "body"
    AIR = "air"
    SIZE = "size"
    DENSITY = "density"
    SCAN = "scan"


@dataclass(frozen=True)
class Finding:
    """One thing that a reviewer should look at.

    Attributes
    ----------
    slug
        The mask or scan that it is about.
    text
        One sentence.
    """

    kind: Kind
    slug: str
    text: str


@dataclass(frozen=True)
class MaskFacts:
    """What was found about one mask.

    Attributes
    ----------
    volume_ml
        Of all its voxels that are not 0; None where it could not be read.
    """

    volume_ml: float | None
    findings: tuple[Finding, ...]


def read_mask_on(path: Path, grid: Geometry, label: str | None = None) -> Image:
    """Read a mask of a cohort as a label map on the grid of its scan.

    Parameters
    ----------
    label
        Which region is meant, where the file holds several; then the result is 1 there and 0 elsewhere.
    """
    if label:
        region = read_mask(path, label=label, like=grid)
        return region.with_voxels(region.voxels.astype(np.uint8))
    return read_labels(path, like=grid)


def examine_mask(path: Path, scan: Image, kind: MaskKind, label: str | None = None) -> tuple[MaskFacts, Image | None]:
    """Check one mask against its scan; what cannot be read becomes a finding, not an error."""
    try:
        mask = read_mask_on(path, scan.geometry, label)
        check_drawn(mask, name="mask", structure="region" if kind.labels else "structure")
    except PreopError as error:
        return MaskFacts(None, (Finding(_reason(path, scan.geometry), kind.slug, str(error)),)), None
    findings = [Finding(found, kind.slug, text) for found, text in _looked_at(mask, kind)]
    volume_ml = float((mask.voxels != 0).sum()) * mask.geometry.voxel_volume_mm3 / 1000
    return MaskFacts(volume_ml, tuple(findings)), mask


def examine_scan(scan: Image, slug: str, modality: Modality | None, lesion: Image | None = None) -> tuple[Finding, ...]:
    """Check that a scan is in its unit: a CT in HU, a PET in SUV."""
    try:
        if modality is Modality.CT:
            check_hu(scan)
        elif modality is Modality.PET:
            check_suv(scan, lesion=lesion)
    except InvalidInputError as error:
        return (Finding(Kind.SCAN, slug, str(error)),)
    return ()


def volumes_out_of_range(volumes_ml: Mapping[int, float], slug: str) -> dict[int, Finding]:
    """Find the patients whose mask is far larger or smaller than those of the others.

    Parameters
    ----------
    volumes_ml
        Of each patient; those of empty masks are left out.
    """
    known = {patient: volume for patient, volume in volumes_ml.items() if volume > 0}
    if len(known) < MIN_COHORT:
        return {}
    lower, upper = np.quantile(np.log(list(known.values())), (0.25, 0.75))
    reach = FAR_OUT * (upper - lower)
    low, high = float(np.exp(lower - reach)), float(np.exp(upper + reach))
    return {
        patient: Finding(
            Kind.VOLUME,
            slug,
            f"It holds {volume:,.3g} ml, far from the others of this cohort ({low:,.3g} to {high:,.3g} ml).",
        )
        for patient, volume in known.items()
        if not low <= volume <= high
    }


def _reason(path: Path, grid: Geometry) -> Kind:
    try:
        return Kind.GEOMETRY if grid.difference(read_geometry(path)) else Kind.UNREADABLE
    except PreopError:
        return Kind.UNREADABLE


def _looked_at(mask: Image, kind: MaskKind) -> Sequence[tuple[Kind, str]]:
    from scipy import ndimage

    boxes = ndimage.find_objects(mask.voxels.astype(np.int32))
    values = [value for value, box in enumerate(boxes, start=1) if box is not None]
    if not values:
        return [(Kind.EMPTY, "No voxel is marked.")]
    found: list[tuple[Kind, str]] = []
    named = {value: name for name, value in kind.labels.items()}
    for value in values:
        name = named.get(value, str(value))
        if kind.labels and value not in named:
            expected = ", ".join(f"{each} {text}" for each, text in named.items())
            found.append((Kind.UNREADABLE, f"It holds the label {value}; expected {expected}."))
        own = crop(mask, boxes[value - 1])
        parts, count = components(own.with_voxels(own.voxels == value))
        # Label 1 alone may hold all instances, where each could have a number of its own.
        if count > 1 and (kind.labels or len(values) > 1):
            sizes = np.bincount(parts.voxels.ravel())[1:]
            crumbs = int((sizes < MIN_SHARE * sizes.sum()).sum())
            told = f", {crumbs} of them below {MIN_SHARE:.0%} of its voxels" if crumbs else ""
            found.append((Kind.COMPONENTS, f"The region {name} has {count} separate parts{told}."))
    if touched := _touched(mask):
        found.append((Kind.EDGE, f"It reaches the edge of the scan ({', '.join(touched)}), where it may be cut off."))
    return found


def _touched(mask: Image) -> list[str]:
    """Names of the patient's sides at which a mask reaches the edge of its scan."""
    directions = np.reshape(mask.geometry.direction, (3, 3))
    names = {(0, 1): "left", (0, -1): "right", (1, 1): "back", (1, -1): "front", (2, 1): "head", (2, -1): "foot"}
    found = []
    for axis, end in itertools.product(range(3), (0, -1)):
        if mask.voxels.take(end, axis=axis).any():
            towards = directions[:, 2 - axis] * (1 if end else -1)
            world = int(np.abs(towards).argmax())
            found.append(names[world, int(np.sign(towards[world]))])
    return sorted(found)
