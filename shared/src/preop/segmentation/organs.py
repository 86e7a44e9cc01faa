"""Organs as labels with names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image


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
