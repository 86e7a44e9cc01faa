"""The portable form of the networks of a model: all of them on the nodes of one patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preop.grandchallenge.algorithm import Algorithm
from preop.mil import portable_ensemble, read_ensemble
from preop.study import read_description

from .lymph_nodes import CUBE_VOXELS, MEASURED
from .model import DESCRIPTION_FILE, Description, encoder_of, read_given_encoder


def portable_files(folder: Path, algorithm: Algorithm) -> dict[str, bytes]:  # noqa: ARG001 - as every study's
    """Make the portable form of the ensemble of a model folder; nothing where its head has none."""
    description = read_description(folder, DESCRIPTION_FILE, Description)
    given = read_given_encoder(folder, description)
    ensemble = read_ensemble(folder, lambda: encoder_of(description, given))
    measures = np.zeros((1, MEASURED[description.network.measures]), np.float32)
    cubes = np.zeros((1, 2, *(CUBE_VOXELS,) * 3), np.uint8)
    radiomics = np.zeros((1, len(description.measured)), np.float32)
    features = np.zeros((1, 0 if given is None else given.features), np.float32)
    kinds = {"cubes": (cubes, measures), "radiomics": (radiomics,), "features": (features, measures)}
    return portable_ensemble(ensemble, kinds.get(description.network.instances, (measures,)))
