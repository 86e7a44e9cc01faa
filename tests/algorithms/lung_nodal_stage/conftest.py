"""A fresh chest for every test; its organs and stations are made once."""

from __future__ import annotations

import numpy as np
import pytest

from preop.anatomy import Organs as LabelledOrgans
from preop.anatomy import StationMap, map_stations
from preop.imaging import Image
from preop.segmentation import Organs
from tests.algorithms.lung_nodal_stage.chest import VALUES, Chest
from tests.anatomy.conftest import simple_labels


@pytest.fixture(scope="session")
def anatomy() -> tuple[Image, StationMap]:
    labels = simple_labels()
    geometry = labels.geometry
    z, y, x = (
        geometry.origin_mm[2 - axis] + geometry.spacing_mm[axis] * np.arange(geometry.shape[axis]) for axis in range(3)
    )
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    # A liver below the right lung, and a thyroid beside the trachea.
    labels.voxels[(labels.voxels == 0) & (z < -108) & (x < -5) & (y < 25)] = VALUES["liver"]
    in_lung = (labels.voxels >= 10) & (labels.voxels <= 14)
    labels.voxels[in_lung & (z < -80) & (x < -35)] = VALUES["liver"]
    labels.voxels[(x > -26) & (x < -12) & (abs(y) < 8) & (abs(z - 104) < 7)] = VALUES["thyroid_gland"]
    return labels, map_stations(LabelledOrgans(labels, VALUES))


@pytest.fixture
def chest(anatomy: tuple[Image, StationMap]) -> Chest:
    labels, stations = anatomy
    return Chest(Organs(labels, VALUES), stations)
