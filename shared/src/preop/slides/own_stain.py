"""The colours that the tissue of one slide has, found on that slide: laboratories and scanners differ more than ink and dye.

A colour is the direction of the three optical densities, as in Macenko et al. (ISBI 2009, doi 10.1109/ISBI.2009.5193250),
given by the shares of red and blue. Cells of tissue form one cloud, from eosin to haematoxylin; ink of another colour lies
outside of it, whatever the stain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_BIN = 0.01
_BINS = 101
_SMOOTHING_BINS = 1.5
_THINNEST = 0.01  # of the cloud's densest place
_MIN_CELLS = 60

# What haematoxylin and eosin can look like at all: most is absorbed from green. On the real fields of two scanners in the
# tests red takes .10 to .33, blue .15 to .40 (blood).
_MAX_RED, _MAX_BLUE = 0.42, 0.41

# Ink on tissue is as textured as tissue, but its density is added. Of tissue 95 % of cells have up to 2.5 times the
# density of the pale ones, which ink must not outnumber.
_PALE_PERCENTILE = 25
_DENSEST_BY_PALE = 2.5
_RIM_CELLS = 3  # of a stroke, covered in part
_NEAR = 0.06


def could_be_tissue(share: Floats) -> Mask:
    """Whether the shares of red, green and blue (..., 3) of the density could be those of haematoxylin and eosin."""
    red, green, blue = np.moveaxis(share, -1, 0)
    return np.asarray((green >= red) & (green >= blue) & (red <= _MAX_RED) & (blue <= _MAX_BLUE))


@dataclass(frozen=True, eq=False)
class OwnStain:
    """What the tissue of a slide looks like.

    Attributes
    ----------
    distances
        From the cloud of its colours, by bins of the shares of red and blue.
    densest
        Sum of densities that 1 % of its cells exceed.
    """

    distances: NDArray[np.float32]
    densest: float

    def distance(self, share: Floats) -> NDArray[np.float32]:
        """How far shares (..., 3) lie from those of the tissue, 0 among them."""
        red, blue = _bins(share)
        return np.asarray(self.distances[red, blue])


def own_stain(density: Floats, cells: Mask) -> OwnStain:
    """Learn the stain of a slide.

    Parameters
    ----------
    density
        Optical densities (rows, columns, 3) of the cells of a slide.
    cells
        Those that show tissue for certain; where they are too few, any colour that tissue can have is taken.
    """
    from scipy import ndimage

    total = density.sum(axis=-1)
    share = density / np.maximum(total, 1e-3)[..., None]
    if cells.sum() < _MIN_CELLS:
        red, blue = np.indices((_BINS, _BINS)) * _BIN
        cloud = could_be_tissue(np.stack([red, 1 - red - blue, blue], axis=-1))
        return OwnStain(_distances(cloud), np.inf)
    dense = total > _DENSEST_BY_PALE * np.percentile(total[cells], _PALE_PERCENTILE)
    broad = ndimage.binary_dilation(ndimage.binary_opening(dense, iterations=2), iterations=_RIM_CELLS)
    pure = cells & ~dense & ~broad
    if pure.sum() < _MIN_CELLS:
        pure = cells & ~dense
    counts = np.zeros((_BINS, _BINS))
    np.add.at(counts, _bins(share[pure]), 1)
    counts = ndimage.gaussian_filter(counts, _SMOOTHING_BINS)
    parts, _ = ndimage.label(counts >= _THINNEST * counts.max(), structure=np.ones((3, 3)))
    distances = _distances(parts == parts[np.unravel_index(counts.argmax(), counts.shape)])
    inside = cells & (distances[_bins(share)] <= _NEAR)
    return OwnStain(distances, float(np.percentile(total[inside & pure], 99)))


def _bins(share: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    bins = np.clip(np.rint(share / _BIN), 0, _BINS - 1).astype(np.intp)
    return bins[..., 0], bins[..., 2]


def _distances(cloud: Mask) -> NDArray[np.float32]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~cloud) * _BIN, np.float32)
