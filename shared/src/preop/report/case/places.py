"""Places in labelled images: where to look, and which part is which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from preop.imaging import Image, components
from preop.report.case.content import PointMm


def middle_of(labels: Image, value: int | None = None) -> PointMm:
    """Find the voxel to show of a structure: of its largest slice, the one nearest to the centre of that.

    Parameters
    ----------
    labels
        A mask or label map (z, y, x); of a scan without voxels that are 0, its middle.
    value
        Which label; left out, all that are not 0.
    """
    mask = labels.voxels != 0 if value is None else labels.voxels == value
    per_slice = mask.sum(axis=(1, 2))
    at = int(per_slice.argmax()) if 0 < per_slice.max() < mask[0].size else len(mask) // 2
    inside = np.argwhere(mask[at]) if mask[at].any() else np.array([[side // 2 for side in mask.shape[1:]]])
    nearest = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    x, y, z = labels.geometry.world_mm(np.array([[at, *nearest]]))[0].tolist()
    return x, y, z


def numbered(labels: Image, points: Mapping[int, PointMm]) -> Image:
    """Give the connected part, or the label, that lies at a point the number of the point; what has no point becomes 0.

    Parameters
    ----------
    labels
        A label map in which each instance has a number, any number; or a mask, whose connected parts are taken.
    points
        A place inside each instance, by the number that outputs give it.
    """
    parts = labels if len(np.unique(labels.voxels)) > 2 else components(labels)[0]
    found = np.zeros(labels.shape, dtype=np.int32)
    for number, point in points.items():
        index = np.rint(labels.geometry.index_zyx(np.array([point]))[0]).astype(int)
        if (index >= 0).all() and (index < labels.shape).all() and (value := parts.voxels[tuple(index)]):
            found[parts.voxels == value] = number
    return labels.with_voxels(found)
