"""Organs as labels with names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image, to_sitk


@dataclass(frozen=True, eq=False)
class Organs:
    """A label map whose values have names.

    Attributes
    ----------
    labels
        Label map of the scan.
    values
        Value of each class by its name, as TotalSegmentator names them; a class may have no voxel.
    """

    labels: Image
    values: Mapping[str, int]

    def mask(self, *names: str) -> NDArray[np.bool_]:
        """Voxels of any of these classes; names that the labels do not have stand for nothing."""
        return np.isin(self.labels.voxels, [self.values[name] for name in names if name in self.values])


def remove_small_components(organs: Organs, *, min_share: float = 0.1) -> Organs:
    """Take out pieces of an organ that are small beside its largest one, which small networks leave all over a scan.

    Parameters
    ----------
    min_share
        Of the largest piece: smaller ones go. Voxels of one label that share a face are a piece.
    """
    import SimpleITK as sitk

    labels = organs.labels.voxels
    pieces = sitk.GetArrayFromImage(sitk.ScalarConnectedComponent(to_sitk(organs.labels), 0.0))
    sizes = np.bincount(pieces.ravel())
    label_of_piece = np.zeros(sizes.size, dtype=labels.dtype)
    label_of_piece[pieces.ravel()] = labels.ravel()
    largest = np.zeros(int(labels.max(initial=0)) + 1, dtype=sizes.dtype)
    np.maximum.at(largest, label_of_piece, sizes)
    kept = np.where(sizes >= min_share * largest[label_of_piece], label_of_piece, 0).astype(labels.dtype)
    return Organs(organs.labels.with_voxels(kept[pieces]), organs.values)
