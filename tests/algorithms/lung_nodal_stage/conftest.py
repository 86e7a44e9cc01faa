"""A fresh chest for every test; its organs are drawn and its stations mapped once."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from lung_nodal_stage import assessment
from preop.anatomy import Organs as LabelledOrgans
from preop.anatomy import StationMap, map_stations
from preop.imaging import Geometry, Image
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
    return labels, _remembered(LabelledOrgans(labels, VALUES))


@pytest.fixture
def chest(anatomy: tuple[Image, StationMap]) -> Chest:
    labels, stations = anatomy
    return Chest(Organs(labels, VALUES), stations)


@pytest.fixture(autouse=True)
def _mapped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Map the stations of the same labels once: it takes longer than all that is tested here."""
    monkeypatch.setattr(assessment, "map_stations", _remembered)


_MAPS: dict[tuple[str, Geometry], StationMap] = {}


def _remembered(organs: LabelledOrgans) -> StationMap:
    labels = organs.labels
    key = hashlib.sha256(np.ascontiguousarray(labels.voxels).data).hexdigest(), labels.geometry
    if key not in _MAPS:
        _MAPS[key] = map_stations(organs)
    return _MAPS[key]
