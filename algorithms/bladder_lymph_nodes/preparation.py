"""What training keeps of a patient: nodes cut out or measured once, in processes of their own that need no torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from preop.cohort import Patient
from preop.errors import InvalidInputError
from preop.grandchallenge.values import to_json
from preop.imaging import check_hu
from preop.likeness import LIKENESS, known
from preop.stored_features import StoredFeatures

from .likeness import scan_measures
from .lymph_nodes import (
    CT,
    FEATURES,
    SEGMENTATION,
    check_features,
    cut_cubes,
    find_lymph_nodes,
    measures_of,
    radiomics_of,
)
from .plausibility import problems_of

NODES_FILE, CUBES_FILE, FEATURES_FILE = "nodes.json", "cubes.npy", "features.npy"


def prepare_patient(patient: Patient, folder: Path, *, instances: str, measures: str) -> None:
    """Write what training needs of a patient into a folder.

    Parameters
    ----------
    instances, measures
        As in ``settings.NetworkSettings``.

    Raises
    ------
    InvalidInputError
        If the patient's images or features are not what they should be.
    """
    ct = patient.case.image(CT)
    check_hu(ct, name=CT)
    segmentation = patient.case.image(SEGMENTATION)
    found = find_lymph_nodes(ct, segmentation)
    nodes = found.without(number for number, failed in problems_of(found.nodes).items() if failed)
    if not nodes.nodes:
        raise InvalidInputError(
            f"None of what the {SEGMENTATION} outlines is plausible as a lymph node, by size, density and surroundings: check "
            "that it belongs to this CT."
        )
    if instances == "cubes":
        np.save(folder / CUBES_FILE, cut_cubes(ct, nodes))
    features = None
    if instances == "features":
        features = _features_of(patient)
        check_features(features, segmentation, found)
        np.save(folder / FEATURES_FILE, features.rows([node.number for node in nodes.nodes]))
    content = {
        "encoder": "" if features is None else features.encoder,
        "slice_mm": max(ct.spacing_mm),
        "measures": [
            [None if math.isnan(value) else value for value in row]
            for row in measures_of(nodes.nodes, measures).tolist()
        ],
        "nodes": [
            {"number": node.number, "side": node.side, "short_axis_mm": node.short_axis_mm, "p90_hu": node.p90_hu}
            for node in nodes.nodes
        ],
        "radiomics": radiomics_of(ct, nodes) if instances == "radiomics" else [],
        LIKENESS: known(scan_measures(ct, nodes)),
    }
    (folder / NODES_FILE).write_text(to_json(content), encoding="utf-8")


def _features_of(patient: Patient) -> StoredFeatures:
    if FEATURES not in patient.case:
        raise InvalidInputError(f"There is no {FEATURES} of this patient: name the file in that column of the table.")
    return patient.case.features(FEATURES)
