"""What training keeps of a patient: nodes cut out or measured once, in processes of their own that need no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preop.cohort import Patient
from preop.errors import InvalidInputError
from preop.grandchallenge.values import to_json
from preop.imaging import check_hu
from preop.likeness import LIKENESS, known

from .likeness import scan_measures
from .lymph_nodes import CT, SEGMENTATION, cut_cubes, find_lymph_nodes, measures_of, radiomics_of
from .plausibility import problems_of

NODES_FILE, CUBES_FILE = "nodes.json", "cubes.npy"


def prepare_patient(patient: Patient, folder: Path, *, instances: str) -> None:
    """Write what training needs of a patient into a folder.

    Parameters
    ----------
    instances
        "cubes", "measures" or "radiomics", as in ``settings.NetworkSettings``.

    Raises
    ------
    InvalidInputError
        If the patient's images are not what they should be.
    """
    ct = patient.case.image(CT)
    check_hu(ct, name=CT)
    found = find_lymph_nodes(ct, patient.case.image(SEGMENTATION))
    nodes = found.without(number for number, failed in problems_of(found.nodes).items() if failed)
    if not nodes.nodes:
        raise InvalidInputError(
            f"None of what the {SEGMENTATION} outlines is plausible as a lymph node, by size, density and surroundings: check "
            "that it belongs to this CT."
        )
    if instances == "cubes":
        np.save(folder / CUBES_FILE, cut_cubes(ct, nodes))
    content = {
        "slice_mm": max(ct.spacing_mm),
        "measures": measures_of(nodes.nodes).tolist(),
        "nodes": [
            {"number": node.number, "short_axis_mm": node.short_axis_mm, "p90_hu": node.p90_hu} for node in nodes.nodes
        ],
        "radiomics": radiomics_of(ct, nodes) if instances == "radiomics" else [],
        LIKENESS: known(scan_measures(ct, nodes)),
    }
    (folder / NODES_FILE).write_text(to_json(content), encoding="utf-8")
