"""How like its training patients a patient is to the model: the scan around the nodes, and the nodes as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from preop.grandchallenge.cases import Case
from preop.imaging import Image, bounding_box, crop
from preop.likeness import CT_MEASURES, Measure, Reference, ct_measures, fit_reference

from .lymph_nodes import CT, SEGMENTATION, LymphNodes, find_lymph_nodes
from .plausibility import problems_of

SCAN = "scan"
AROUND_MM = 20.0
"""What is measured of the scan lies in the box of all nodes and so far around it: another field of view changes nothing."""

MEASURES = (
    *CT_MEASURES,
    Measure("nodes", "the number of lymph nodes", ratio=True, resolution=0.2),
    Measure("short_axis_mm", "the median short axis of the lymph nodes", "mm", ratio=True, resolution=0.1),
    Measure("node_hu", "the median density of the lymph nodes", "HU", resolution=5),
    Measure("fat_around_hu", "the median density around the lymph nodes", "HU", resolution=5),
)


def scan_measures(ct: Image, nodes: LymphNodes) -> dict[str, float]:
    """Measure a scan with its plausible nodes; nothing where there are none."""
    if not nodes.nodes:
        return {}
    margin = tuple(round(AROUND_MM / mm) for mm in ct.spacing_mm)
    part = crop(ct, bounding_box(nodes.labels.voxels > 0, margin_voxels=margin))
    return {
        **ct_measures(part),
        "nodes": float(len(nodes.nodes)),
        "short_axis_mm": float(np.median([node.short_axis_mm for node in nodes.nodes])),
        "node_hu": float(np.median([node.p90_hu for node in nodes.nodes])),
        "fat_around_hu": float(np.nanmedian([node.fat_around_hu for node in nodes.nodes])),
    }


def measures_of_case(case: Case) -> dict[str, float]:
    """Measure a patient as the training does."""
    found = find_lymph_nodes(case.image(CT), case.image(SEGMENTATION))
    problems = problems_of(found.nodes)
    return scan_measures(case.image(CT), found.without(number for number, failed in problems.items() if failed))


def references_of(rows: Sequence[Mapping[str, float]]) -> dict[str, Reference]:
    """Describe training patients by their measures."""
    return {SCAN: fit_reference(rows, MEASURES)}
