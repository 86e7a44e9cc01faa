"""A patient as a bag of lymph nodes: what the network is given of each node."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from preop.errors import InvalidInputError
from preop.imaging import Image, crop
from preop.mil import Bag
from preop.radiomics import FixedBinSize, Settings, compute_features

from .lymph_nodes import Box, LymphNodes, cut_cubes, measures_of
from .network import NetworkSettings

RADIOMICS = Settings(spacing_mm=(1.0, 1.0, 1.0), discretisation=FixedBinSize(width=10.0))
"""Nodes are small: voxels of 1 mm, and bins of about the noise."""

_MARGIN_MM = 5.0  # around a node, for interpolation


def bag_of(
    name: str,
    ct: Image,
    nodes: LymphNodes,
    settings: NetworkSettings,
    measured: Sequence[str] = (),
    *,
    low: float = 0.0,
    high: float = math.inf,
    centre: str = "",
) -> Bag:
    """Make the bag of a patient.

    Parameters
    ----------
    measured
        Radiomics features, in the order the network takes them, where those are the instances.
    low, high
        Fewest and most positive nodes that are possible after the pathologist's report.
    """
    if settings.instances == "radiomics":
        rows = measure(ct, nodes)
        instances: tuple[Tensor, ...] = (
            torch.tensor([[row.get(feature, math.nan) for feature in measured] for row in rows]),
        )
    else:
        instances = (torch.from_numpy(cut_cubes(ct, nodes)), torch.from_numpy(measures_of(nodes.nodes)))
    return Bag(name, instances, low, high, centre=centre)


def measure(ct: Image, nodes: LymphNodes) -> list[dict[str, float]]:
    """Radiomics features of each node by the IBSI standard; without those that are not defined on so small a region."""
    return [_features(crop(ct, box), crop(nodes.labels, box), number) for number, box in _boxes(ct, nodes)]


def _features(ct: Image, labels: Image, number: int) -> dict[str, float]:
    try:
        found = compute_features(ct, labels.with_voxels(labels.voxels == number), RADIOMICS)
    except InvalidInputError:  # a node thinner than half a voxel of 1 mm vanishes when it is resampled
        return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _boxes(ct: Image, nodes: LymphNodes) -> Iterator[tuple[int, Box]]:
    for node in nodes.nodes:
        yield node.number, _widened(node.box, ct)


def _widened(box: Box, ct: Image) -> Box:
    margins = [math.ceil(_MARGIN_MM / spacing) for spacing in ct.spacing_mm]
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, margin, size in zip(box, margins, ct.shape, strict=True)
    )
