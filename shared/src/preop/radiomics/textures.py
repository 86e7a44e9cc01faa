"""Texture families: their matrices by slice, direction and volume, and how those become one value.

Sources: IBSI reference manual, sections on each matrix and on "Aggregating features".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.catalogue import tags_of
from preop.radiomics.glcm import cooccurrence_features
from preop.radiomics.lattices import Lattice, Layouts
from preop.radiomics.level_property import level_property_features
from preop.radiomics.ngtdm import tone_difference_features
from preop.radiomics.preparation import GreyLevels
from preop.radiomics.settings import Aggregation, Family

Number = TypeVar("Number", np.int64, np.float64)
Group = list[Lattice]
Counts = NDArray[np.int64]


def textures(
    grey_levels: GreyLevels, layouts: Layouts, families: Collection[Family], aggregations: Collection[Aggregation]
) -> dict[str, float]:
    """Compute texture features.

    Parameters
    ----------
    grey_levels
        The discretised, re-segmented region.
    layouts
        Where the voxels lie.
    families
        What to compute; families other than textures are passed over.
    aggregations
        How the matrices of slices and directions become one value.

    Returns
    -------
    Values by tag and aggregation; NaN where no matrix has an entry. A slice or direction without entries does not
    count in an average.
    """
    of_dimension = {
        dimension: [aggregation for aggregation in aggregations if aggregation.dimension == dimension]
        for dimension in dict.fromkeys(aggregation.dimension for aggregation in aggregations)
    }
    slices = [] if set(of_dimension) == {"3D"} else layouts.slices(grey_levels)
    volume = [layouts.volume(grey_levels)] if "3D" in of_dimension else []
    groups = {"2D": [[one] for one in slices], "2_5D": [slices], "3D": [volume]}
    found: dict[str, float] = {}
    for dimension, wanted in of_dimension.items():
        for family in (family for family in DIRECTED if family in families):
            found |= _of_directions(family, groups[dimension], wanted)
        for family in (family for family in UNDIRECTED if family in families):
            rows = [UNDIRECTED[family](group) for group in groups[dimension]]
            found |= _averaged(rows, tags_of(family), dimension)
    return found


def _of_directions(family: Family, groups: list[Group], aggregations: list[Aggregation]) -> dict[str, float]:
    """Features of a family whose matrices have a direction; voxels are visited once for all aggregations."""
    count, features = DIRECTED[family]
    rows: dict[Aggregation, list[dict[str, float]]] = {aggregation: [] for aggregation in aggregations}
    by_direction = any(aggregation.averages_directions for aggregation in aggregations)
    for group in groups:
        counts = count(group, by_direction)
        for aggregation in aggregations:
            matrices = counts if aggregation.averages_directions else counts.sum(axis=0, keepdims=True)
            directions = group[0].layout.directions.size // len(matrices)
            rows[aggregation] += features(matrices, directions * _voxels(group))
    tags = tags_of(family)
    return {
        key: value
        for aggregation in aggregations
        for key, value in _averaged(rows[aggregation], tags, aggregation.value).items()
    }


def _averaged(rows: list[dict[str, float]], tags: list[str], suffix: str) -> dict[str, float]:
    """Average each feature over matrices; those where it is not defined do not count."""
    found = {}
    for tag in tags:
        values = [row[tag] for row in rows if not math.isnan(row[tag])]
        found[f"{tag}_{suffix}"] = math.fsum(values) / len(values) if values else math.nan
    return found


def _added(matrices: Iterable[NDArray[Number]]) -> NDArray[Number]:
    return reduce(np.add, matrices)


def _voxels(group: Group) -> int:
    return sum(one.layout.voxels for one in group)


# Matrices with a direction: a group of lattices gives one, or one a direction (matrices, levels, property).


def _glcm_counts(group: Group, by_direction: bool) -> Counts:  # noqa: FBT001
    return _added(one.cooccurrences(by_direction=by_direction) for one in group)


def _glcm_features(matrices: Counts, voxels: int) -> list[dict[str, float]]:  # noqa: ARG001
    return cooccurrence_features(matrices)


def _glrlm_counts(group: Group, by_direction: bool) -> Counts:  # noqa: FBT001
    longest = max(one.layout.longest for one in group)
    return _added(one.run_lengths(longest, by_direction=by_direction) for one in group)


def _glrlm_features(matrices: Counts, voxels: int) -> list[dict[str, float]]:
    return [_of_matrix(Family.GLRLM, matrix, voxels) for matrix in matrices]


DIRECTED: dict[Family, tuple[Callable[[Group, bool], Counts], Callable[[Counts, int], list[dict[str, float]]]]] = {
    Family.GLCM: (_glcm_counts, _glcm_features),
    Family.GLRLM: (_glrlm_counts, _glrlm_features),
}


# Matrices without a direction: a group of lattices gives one.


def _glszm(group: Group) -> dict[str, float]:
    levels, sizes, _ = _zones(group)
    return _of_zones(Family.GLSZM, levels, sizes, _voxels(group))


def _gldzm(group: Group) -> dict[str, float]:
    levels, _, distances = _zones(group)
    return _of_zones(Family.GLDZM, levels, distances, _voxels(group))


def _zones(group: Group) -> NDArray[np.int64]:
    """Levels, sizes and distances (3, n) of all zones."""
    return np.concatenate([one.zones for one in group], axis=1)


def _ngtdm(group: Group) -> dict[str, float]:
    occupied = _added(one.neighbourhoods[0] for one in group)
    differences = _added(one.neighbourhoods[1] for one in group)
    return dict(zip(tags_of(Family.NGTDM), tone_difference_features(occupied, differences), strict=True))


def _ngldm(group: Group) -> dict[str, float]:
    matrix = _added(one.neighbourhoods[2] for one in group)
    return _of_matrix(Family.NGLDM, matrix, _voxels(group))


UNDIRECTED: dict[Family, Callable[[Group], dict[str, float]]] = {
    Family.GLSZM: _glszm,
    Family.GLDZM: _gldzm,
    Family.NGTDM: _ngtdm,
    Family.NGLDM: _ngldm,
}


def _of_matrix(family: Family, matrix: NDArray[np.int64], voxels: int) -> dict[str, float]:
    """Features of a dense matrix whose rows are grey levels and whose columns are a property, both from 1."""
    levels, properties = np.nonzero(matrix)
    values = level_property_features(levels + 1, properties + 1, matrix[levels, properties], voxels)
    return dict(zip(tags_of(family), values, strict=False))  # only dependence matrices have the last one, the energy


def _of_zones(
    family: Family, levels: NDArray[np.int64], properties: NDArray[np.int64], voxels: int
) -> dict[str, float]:
    """Features of a list of zones, which is a sparse matrix: one zone may be as large as the region."""
    # One number for both, because rows of two are slow to sort.
    base = properties.max() + 1
    keys, counts = np.unique(levels * base + properties, return_counts=True)
    values = level_property_features(*np.divmod(keys, base), counts, voxels)
    return dict(zip(tags_of(family), values, strict=False))
