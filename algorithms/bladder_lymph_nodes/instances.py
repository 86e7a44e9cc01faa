"""A patient as a bag of lymph nodes: what the network is given of each node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image
from preop.stored_features import StoredFeatures

from .lymph_nodes import LymphNodes, cut_cubes, measures_of, radiomics_of
from .settings import NetworkSettings


def instances_of(
    ct: Image,
    nodes: LymphNodes,
    settings: NetworkSettings,
    measured: Sequence[str] = (),
    *,
    features: StoredFeatures | None = None,
) -> tuple[NDArray[Any], ...]:
    """Give what the network takes of the nodes of a patient.

    Parameters
    ----------
    measured
        Radiomics features, in the order the network takes them, where those are the instances.
    features
        Stored features of the nodes, where those are.

    Returns
    -------
    Arrays whose first axis is that of the nodes; NaN is a radiomics feature that is not defined on a node.
    """
    measures = measures_of(nodes.nodes, settings.measures)
    if features is not None:
        return features.rows([node.number for node in nodes.nodes]), measures
    if settings.instances == "radiomics":
        rows = radiomics_of(ct, nodes)
        return (np.array([[row.get(feature, math.nan) for feature in measured] for row in rows], np.float32),)
    if settings.instances in ("measures", "signs"):
        return (measures,)
    return cut_cubes(ct, nodes), measures
