"""A patient as a bag of lymph nodes: what the network is given of each node."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from preop.imaging import Image
from preop.mil import Bag
from preop.stored_features import StoredFeatures

from .lymph_nodes import LymphNodes, cut_cubes, measures_of, radiomics_of
from .network import NetworkSettings


def bag_of(
    name: str,
    ct: Image,
    nodes: LymphNodes,
    settings: NetworkSettings,
    measured: Sequence[str] = (),
    *,
    features: StoredFeatures | None = None,
    low: float = 0.0,
    high: float = math.inf,
    centre: str = "",
) -> Bag:
    """Make the bag of a patient.

    Parameters
    ----------
    measured
        Radiomics features, in the order the network takes them, where those are the instances.
    features
        Stored features of the nodes, where those are.
    low, high
        Fewest and most positive nodes that are possible after the pathologist's report.
    """
    if features is not None:
        rows = features.rows([node.number for node in nodes.nodes])
        instances: tuple[Tensor, ...] = (torch.from_numpy(rows), torch.from_numpy(measures_of(nodes.nodes)))
    elif settings.instances == "radiomics":
        found = radiomics_of(ct, nodes)
        instances = (torch.tensor([[row.get(feature, math.nan) for feature in measured] for row in found]),)
    elif settings.instances in ("measures", "signs"):
        instances = (torch.from_numpy(measures_of(nodes.nodes)),)
    else:
        instances = (torch.from_numpy(cut_cubes(ct, nodes)), torch.from_numpy(measures_of(nodes.nodes)))
    return Bag(name, instances, low, high, centre=centre, may_lack=settings.instances == "radiomics")
