"""What each tile of a region has to do with the region's contribution, by torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preop.mil import BagNetwork, Ensemble, PortableEnsemble, RegionEncoder

if TYPE_CHECKING:
    from preop.slides import Regions


def shares_of_tiles(ensemble: Ensemble | PortableEnsemble, regions: Regions) -> NDArray[np.floating[Any]]:
    """Give the share of each tile in its region (regions, places): the mean over the members of the ensemble."""
    if isinstance(ensemble, PortableEnsemble):
        raise TypeError("The portable form of an ensemble on regions says nothing of their tiles.")
    tiles, present = torch.from_numpy(regions.values).float(), torch.from_numpy(regions.present)
    with torch.inference_mode():
        shares = torch.stack([_shares(member, tiles, present) for member in ensemble.members]).mean(dim=0)
    return shares.numpy()


def _shares(member: BagNetwork, tiles: Tensor, present: Tensor) -> Tensor:
    if not isinstance(member.encoder, RegionEncoder):
        raise TypeError("Only an encoder of regions has shares of tiles.")
    return member.encoder.weights(tiles, present)
