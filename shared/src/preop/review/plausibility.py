"""Whether what is marked on a CT can be there: inside of the body, not in air, as large and as dense as its study expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import SPECK_MM3, Image, bounding_box, components, crop
from preop.radiomics.settings import Modality
from preop.review.checks import Finding, Kind
from preop.review.subjects import MaskKind
from preop.segmentation.body import Body, find_body
from preop.study import Plausibility

AIR_HU = -200.0
"""Median of what lies in air: fat is not below -150 HU, and the rim of a lesion in the lung is less than half of it."""
MAX_OUTSIDE_BODY = 0.1
"""Share of a structure outside of the body, which is found to 4 mm: a lesion at the skin is drawn a little over its edge."""
MOST_NAMED = 3
"""Structures that one sentence names; the others are counted."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A region or an instance of a mask, in its bounding box.

    Attributes
    ----------
    name
        As in a sentence: "the region tumour", "number 3".
    inside
        Its voxels in the box (z, y, x).
    place
        The box in the scan.
    """

    name: str
    inside: NDArray[np.bool_]
    place: tuple[slice, ...]
    volume_mm3: float


def implausible(
    scan: Image, mask: Image, kind: MaskKind, modality: Modality | None, expected: Plausibility | None = None
) -> list[Finding]:
    """Find what a reviewer should look at twice.

    Parameters
    ----------
    scan
        A CT is expected in HU.
    mask
        On the grid of the scan.
    expected
        Between what the study expects volume (ml) and median density (HU) of an instance; None where it does not say.
    """
    structures = list(_structures(mask, kind))
    found: list[tuple[Kind, Structure, str]] = []
    instances = structures if not kind.labels else []
    for each in instances:
        problem = expected.VOLUME.problem(each.volume_mm3 / 1000) if expected else None
        if each.volume_mm3 < SPECK_MM3:
            found.append((Kind.SIZE, each, f"has {each.volume_mm3:.2g} mm³, less than any structure that is measured"))
        elif problem:
            found.append((Kind.SIZE, each, f"has {problem}"))
    if modality is Modality.CT:
        body = _body(scan) if structures else None
        for each in structures:
            density = float(np.median(scan.voxels[each.place][each.inside]))
            outside = 0.0 if body is None else 1 - float(np.mean(body.mask[each.place][each.inside]))
            if outside > MAX_OUTSIDE_BODY:
                found.append((Kind.BODY, each, f"lies outside of the body by {outside:.0%}"))
            elif density < AIR_HU:
                found.append((Kind.AIR, each, f"lies in air: its median is {density:.0f} HU"))
            elif expected and each in instances and (problem := expected.DENSITY.problem(density)):
                found.append((Kind.DENSITY, each, f"has {problem}"))
    return _told(found, kind)


def _structures(mask: Image, kind: MaskKind) -> Iterator[Structure]:
    """Take a mask apart: by its labels, or by its parts where one label holds all instances."""
    from scipy import ndimage

    if not mask.voxels.any():
        return
    box = bounding_box(mask.voxels)
    small = crop(mask, box)
    named: Mapping[int, str] = {value: f"the region {name}" for name, value in kind.labels.items()}
    nameless = None
    if not kind.labels and len(np.unique(small.voxels[small.voxels != 0])) == 1:
        small, count = components(small.with_voxels(small.voxels != 0))
        # A single one needs no number, and no one else counts parts of a mask as this program does.
        nameless = "what is marked" if count == 1 else "a structure"
    for value, own in enumerate(ndimage.find_objects(small.voxels.astype(np.int32)), start=1):
        if own is None:
            continue
        inside = small.voxels[own] == value
        yield Structure(
            name=nameless or named.get(value, f"number {value}"),
            inside=inside,
            place=tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, own, strict=True)),
            volume_mm3=float(inside.sum()) * mask.geometry.voxel_volume_mm3,
        )


def _body(ct: Image) -> Body | None:
    try:
        return find_body(ct)
    except InvalidInputError:  # A scan of a part of an organ alone shows no skin.
        return None


def _told(found: Sequence[tuple[Kind, Structure, str]], kind: MaskKind) -> list[Finding]:
    findings = []
    for each in (Kind.BODY, Kind.AIR, Kind.SIZE, Kind.DENSITY):
        sentences = [f"{structure.name} {text}" for which, structure, text in found if which is each]
        if sentences:
            more = len(sentences) - MOST_NAMED
            text = "; ".join(sentences[:MOST_NAMED]) + (f"; and so for {more} more" if more > 0 else "")
            findings.append(Finding(each, kind.slug, f"{text[0].upper()}{text[1:]}."))
    return findings
