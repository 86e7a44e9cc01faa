from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lung_nodal_stage import networks
from lung_nodal_stage.networks import ORGANS, RECIPES, SPINE, Part, Recipe, fit, training_case
from lung_nodal_stage.simulation import SimulatedPatient, draw_small_patient
from preop.segmentation import load_network, load_organ_networks
from tests.conftest import threads_of_torch

MODEL = Path(networks.__file__).parent / "model"


@pytest.fixture(scope="module")
def patient() -> SimulatedPatient:
    return draw_small_patient(5, 2)


@pytest.fixture
def tiny() -> Recipe:
    recipe = RECIPES["lesions"]
    settings = replace(recipe.settings, patch=(16, 16, 16), features=(2, 4, 4), convolutions=1)
    return replace(recipe, settings=settings, parts=(Part((8, 8, 8), 3, 1e-2), Part((16, 16, 16), 5, 1e-2)))


@pytest.fixture
def cases(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[5:9, 5:9, 5:9] = 1
    scans = rng.normal(0, 50, (2, 20, 20, 20)) + 200 * labels
    np.savez(tmp_path / "case.npz", scans=scans.astype(np.float16), labels=labels)
    return [tmp_path / "case.npz"]


def test_a_fit_that_was_stopped_ends_with_the_same_weights(
    tiny: Recipe, cases: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(tiny, cases, tmp_path / "whole.pt")
    monkeypatch.setattr(networks, "SAVED_EVERY", 2)

    for last in (2, 3, 6):  # within a part, at its end, and within the next

        def stop(done: int, _: int, last: int = last) -> None:
            if done == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(tiny, cases, tmp_path / "state.pt", stop)
    with threads_of_torch(3):
        resumed = fit(tiny, cases, tmp_path / "state.pt")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_organ_network_learns_one_spine_and_only_named_organs(patient: SimulatedPatient) -> None:
    (ct,), labels = training_case("organs", patient)
    assert ct.spacing_mm == (3.0, 3.0, 3.0)
    spine, trachea = (1 + ORGANS.index(name) for name in (SPINE, "trachea"))
    assert set(np.unique(labels.voxels)) == set(range(len(ORGANS) + 1))
    assert np.median(ct.voxels[labels.voxels == trachea]) < -700
    heights = np.flatnonzero((labels.voxels == spine).any(axis=(1, 2)))
    assert np.ptp(heights) * 3 > 300  # the whole of it, not one vertebra


def test_the_lesion_network_learns_avid_lesions_only(patient: SimulatedPatient) -> None:
    (_, pet), labels = training_case("lesions", patient)
    assert set(np.unique(labels.voxels)) == {0, 1}
    assert np.median(pet.voxels[labels.voxels == 1]) > 2 * np.median(pet.voxels[labels.voxels == 0])


def test_both_shipped_networks_load_in_the_layouts_of_real_ones() -> None:
    organs = load_organ_networks(MODEL / "organs", ["aorta", "trachea", SPINE])
    assert organs.spacing_mm == (3.0, 3.0, 3.0)
    assert load_network(MODEL / "lesions").channels == ("CT", "PET")
    sizes = sum(path.stat().st_size for name in ("organs", "lesions") for path in (MODEL / name).rglob("*.pth"))
    assert sizes < 12e6
