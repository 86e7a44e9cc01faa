"""From the logits of the tissue and the cell network to labels and cells, whichever form of the networks gives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.portable import PortableNetwork

from .definitions import CellKind
from .findings import INPUT_UM, MAP_UM, Cells, NetworksInfo, Thresholds
from .stain import density

TISSUE_STRIDE = round(MAP_UM / INPUT_UM)
CELL_STRIDE = 4

# Centres of a kind lie at least half of this apart.
_WINDOW = {CellKind.LYMPHOCYTE: 3, CellKind.BUD: 7}


class SlideNetworks(ABC):
    """Both networks, with what is known of them."""

    info: NetworksInfo

    @abstractmethod
    def logits(self, densities: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits of the tissues (1, 11, h / 8, w / 8) and of centres (1, 2, h / 4, w / 4) from densities (1, 3, h, w)."""

    def read(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Cells]:
        """Read a picture.

        Parameters
        ----------
        pixels
            RGB (h, w, 3) at one micrometre a pixel; h and w are multiples of 32.

        Returns
        -------
        Labels (h / 8, w / 8), and cells with their places in micrometres from the picture's corner.
        """
        picture = np.ascontiguousarray(density(pixels).transpose(2, 0, 1)[None])
        tissues, centres = self.logits(picture)
        return tissues[0].argmax(axis=0).astype(np.uint8), find_centres(centres[0], self.info.thresholds)


@dataclass(frozen=True, eq=False)
class PortableNetworks(SlideNetworks):
    """Both networks in their portable form."""

    tissue: PortableNetwork
    cells: PortableNetwork
    info: NetworksInfo

    def logits(self, densities: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`SlideNetworks`."""
        return self.tissue(densities)[0], self.cells(densities)[0]


def find_centres(logits: NDArray[np.float32], thresholds: Thresholds) -> Cells:
    """Find the highest places of a map of centres (kinds, h, w), those that reach the threshold of their kind."""
    from scipy import ndimage
    from scipy.special import expit

    found = []
    for kind in CellKind:
        highest = ndimage.maximum_filter(logits[kind], _WINDOW[kind], mode="constant", cval=-np.inf)
        probability = expit(logits[kind])
        rows, columns = np.nonzero((logits[kind] == highest) & (probability >= thresholds.of(kind)))
        points_um = (np.stack([rows, columns], axis=1) + 0.5) * CELL_STRIDE * INPUT_UM
        found.append((points_um, np.full(len(rows), kind, np.uint8), probability[rows, columns]))
    points, kinds, probabilities = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Cells(points.astype(np.float32), kinds, probabilities.astype(np.float32))
