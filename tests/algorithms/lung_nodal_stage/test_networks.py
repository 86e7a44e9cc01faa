import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lung_nodal_stage import networks, organ_cases
from lung_nodal_stage.networks import RECIPES, Part, Recipe, fit, training_case
from lung_nodal_stage.organ_cases import ORGANS, SPINE, LabelMaps, draw_case, network_labels
from lung_nodal_stage.simulation import SimulatedPatient, draw_anatomy, draw_small_patient
from preop.errors import InvalidModelError
from preop.imaging import Geometry, Image, resample, write_image
from preop.segmentation import load_network, load_organ_networks
from tests.conftest import threads_of_torch

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def label_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coarse label map of a chest, as a file of the TotalSegmentator data set would be."""
    path = tmp_path_factory.mktemp("labels") / "chest.nii.gz"
    write_image(resample(draw_anatomy(5, 1).labels, (6.0, 6.0, 6.0), interpolation="nearest"), path)
    return path


def test_the_classes_of_the_network_are_taken_by_name_and_every_vertebra_is_spine() -> None:
    values = {"vertebrae_T6": 7, "vertebrae_L1": 9, "aorta": 3, "colon": 4}
    labels = Image(np.array([[[0, 7, 9, 3, 4]]], dtype=np.uint8), Geometry.axis_aligned((1, 1, 5), (3.0,) * 3))
    spine, aorta = (1 + ORGANS.index(name) for name in (SPINE, "aorta"))
    assert network_labels(labels, values).voxels.ravel().tolist() == [0, spine, spine, aorta, 0]


def test_a_case_drawn_from_a_label_map_is_the_same_for_a_seed_and_cut_to_the_body(label_map: Path) -> None:
    maps = LabelMaps((label_map,))
    (ct,), labels = draw_case(1, 0, maps)
    (again,), _ = draw_case(1, 0, LabelMaps((label_map,)))
    np.testing.assert_array_equal(ct.voxels, again.voxels)
    assert ct.geometry.difference(labels.geometry) is None
    assert set(np.unique(labels.voxels)) <= set(range(len(ORGANS) + 1))
    lungs = np.isin(labels.voxels, [1 + ORGANS.index(name) for name in ORGANS if name.startswith("lung_")])
    assert np.median(ct.voxels[lungs]) < -400
    right, left = (
        np.argwhere(labels.voxels == 1 + ORGANS.index(f"lung_upper_lobe_{side}"))[:, 2].mean()
        for side in ("right", "left")
    )
    assert right > left  # as nnU-Net's reader turns a scan, x runs to the right
    assert maps.provenance["label_maps"]["licence"] == "CC BY 4.0"
    assert list(maps.provenance["label_maps"]["sha256"]) == ["chest.nii.gz"]


def test_further_convolutions_start_from_the_weights_of_a_smaller_network(tiny: Recipe, cases: list[Path]) -> None:
    smaller = networks._network(tiny)
    larger = networks._network(replace(tiny, settings=replace(tiny.settings, convolutions=(1, 1, 2))))
    networks._started(larger, smaller.state_dict())
    first, second = smaller.state_dict(), larger.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    added = [name for name in second if name.endswith("convs.1.conv.weight")]
    assert added
    assert all(torch.equal(second[name].sum(), torch.tensor(float(len(second[name])))) for name in added)


@pytest.mark.slow
def test_the_command_trains_the_organ_network_and_goes_on_from_its_weights(
    label_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RECIPES["organs"]
    settings = replace(whole.settings, patch=(16, 16, 16), features=(4, 4, 4), convolutions=1)
    small = replace(whole, settings=settings, parts=(Part((16, 16, 16), 2, 1e-3),))
    monkeypatch.setattr(networks, "RECIPES", {"organs": small})
    monkeypatch.setattr(networks, "SIMULATED", 0)
    monkeypatch.setattr(networks, "DRAWN", 1)
    monkeypatch.setattr(organ_cases, "FROM_REAL", 1.0)

    def command(model: Path, *more: str) -> Path:
        monkeypatch.setattr(
            sys, "argv", ["networks", "--model", str(model), "--only", "organs", "--labels", str(label_map), *more]
        )
        networks.main()
        return model / "organs"

    first = command(tmp_path / "first")
    record = json.loads((first / "provenance.json").read_text())
    assert record["training_data"]["label_maps"]["sha256"].keys() == {"chest.nii.gz"}
    assert "started_from" not in record
    scan = Image(np.full((20, 30, 40), 40.0, dtype=np.float32), Geometry.axis_aligned((20, 30, 40), (6.0,) * 3))
    assert load_organ_networks(first, ORGANS).segment(scan).labels.shape == scan.shape

    second = command(tmp_path / "second", "--start", str(tmp_path / "first"))
    started_from = json.loads((second / "provenance.json").read_text())["started_from"]
    assert len(started_from["sha256"]) == 64
    assert started_from["steps"] == 2


def test_a_start_from_weights_of_other_classes_is_refused() -> None:
    with pytest.raises(InvalidModelError, match="has not learned the classes"):
        networks._start(MODEL / "organs", ["aorta", "heart"])
