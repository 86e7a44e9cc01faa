from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.segmentation import load_network
from tests.conftest import threads_of_torch
from tests.segmentation.networks import TORCH, dataset_of, make_network, plans_of, scan_of

Stock = Callable[..., NDArray[Any]]

TURNED = (0, -1, 0, 1, 0, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1)


@pytest.mark.parametrize(
    "plans",
    [
        pytest.param(plans_of(), id="cubic spline"),
        pytest.param(plans_of(spacing=(5, 1, 1)), id="thick slices kept apart"),
        pytest.param(plans_of(resampling=TORCH), id="torch resampling"),
        pytest.param(plans_of(transpose=(2, 0, 1), spacing=(1.2, 2.0, 1.3)), id="transposed"),
        pytest.param(plans_of(spacing=(2.5, 1.1, 0.9)), id="same spacing"),
        pytest.param(plans_of(patch=(32, 32), spacing=(1.5, 1.5), name="2d"), id="slice by slice"),
        pytest.param(plans_of(schemes=("ZScoreNormalization",), mask=True), id="normalised inside"),
        pytest.param(plans_of(reader="NibabelIO"), id="nibabel"),
        pytest.param(plans_of(patch=(64, 64, 64)), id="patch larger than the scan"),
    ],
)
def test_labels_are_those_of_the_stock_program(plans: dict[str, Any], stock: Stock, tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans, dataset_of())
    scan = scan_of(direction=TURNED, border=4)
    expected = stock(folder, [scan])
    found = load_network(folder, device="cpu").segment(scan)
    np.testing.assert_array_equal(found.voxels, expected)
    assert set(np.unique(found.voxels)) == {0, 1, 2}
    assert found.geometry == scan.geometry


@pytest.mark.parametrize("direction", [TURNED, OBLIQUE, (1, 0, 0, 0, 0, 1, 0, -1, 0)])
def test_a_reader_that_turns_scans_does_so_here(direction: tuple[float, ...], stock: Stock, tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans_of(reader="NibabelIOWithReorient"), dataset_of())
    scan = scan_of((30, 35, 40), direction=direction)
    found = load_network(folder, device="cpu").segment(scan)
    np.testing.assert_array_equal(found.voxels, stock(folder, [scan]))


def test_folds_are_averaged_and_mirrored_as_the_stock_program_does(stock: Stock, tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of(), folds=(0, 3), mirrored_axes=(0, 2))
    scan = scan_of((30, 35, 40))
    network = load_network(folder, device="cpu")
    np.testing.assert_array_equal(network.segment(scan).voxels, stock(folder, [scan]))
    np.testing.assert_array_equal(network.segment(scan, mirroring=False).voxels, stock(folder, [scan], mirroring=False))


def test_probabilities_are_the_same_on_any_number_of_cores(tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of())
    found = set()
    for count in (1, 2, 3):
        with threads_of_torch(count):
            labels, probabilities = load_network(folder, device="cpu").segment_with_probabilities(scan_of(), ["organ"])
        found.add((labels.voxels.tobytes(), probabilities["organ"].voxels.tobytes()))
    assert len(found) == 1


def test_two_channels_and_overlapping_regions(stock: Stock, tmp_path: Path) -> None:
    regions = {"whole": [1, 2], "core": [2]}
    dataset = dataset_of(regions, channels=("CT", "PET"), regions_class_order=[1, 2])
    plans = plans_of(schemes=("CTNormalization", "ZScoreNormalization"))
    folder = make_network(tmp_path / "network", plans, dataset, heads=2)
    scans = [scan_of(seed=1), scan_of(seed=2)]
    network = load_network(folder, device="cpu")
    assert network.channels == ("CT", "PET")
    assert network.labels == {"background": 0, "whole": (1, 2), "core": (2,)}
    expected = stock(folder, scans, probabilities=True)
    labels, maps = network.segment_with_probabilities(scans, ["core", "whole"])
    np.testing.assert_allclose(maps["core"].voxels, expected[1], atol=2e-3)
    np.testing.assert_allclose(maps["whole"].voxels, expected[0], atol=2e-3)
    # A score of exactly 0, which float16 brings about, may round to either side of one half.
    assert (labels.voxels != stock(folder, scans)).sum() <= 2
    assert set(np.unique(labels.voxels)) == {0, 1, 2}


def test_probabilities_are_those_of_the_stock_program(stock: Stock, tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of())
    scan = scan_of(border=4)
    labels, maps = load_network(folder, device="cpu").segment_with_probabilities(scan, ["background", "organ"])
    expected = stock(folder, [scan], probabilities=True)
    np.testing.assert_allclose(maps["background"].voxels, expected[0], atol=2e-3)
    np.testing.assert_allclose(maps["organ"].voxels, expected[2], atol=2e-3)
    assert maps["background"].voxels[0, 0, 0] == 1
    assert (labels.voxels == 2)[maps["organ"].voxels > 0.5].all()


def test_progress_counts_every_tile_of_every_fold(tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of(), folds=(0, 1))
    seen: list[tuple[int, int]] = []
    load_network(folder, device="cpu", threads=1).segment(scan_of(), progress=lambda *counts: seen.append(counts))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {len(seen)}


def test_the_scan_is_left_as_it_was(tmp_path: Path) -> None:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of())
    scan = scan_of()
    scan = scan.with_voxels(scan.voxels.astype(np.float32))
    before = scan.voxels.copy()
    load_network(folder, device="cpu").segment(scan)
    np.testing.assert_array_equal(scan.voxels, before)


def test_scans_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    dataset = dataset_of(channels=("CT", "PET"))
    folder = make_network(tmp_path / "network", plans_of(schemes=("CTNormalization",) * 2), dataset)
    network = load_network(folder, device="cpu")
    with pytest.raises(InvalidInputError, match=r"takes 2 scans \(CT, PET\); found 1"):
        network.segment(scan_of())
    with pytest.raises(InvalidInputError, match="PET lies on another grid than CT"):
        network.segment([scan_of(), scan_of((40, 45, 51))])
    with pytest.raises(InvalidInputError, match="All voxels of the scan are 0"):
        network.segment([scan_of().with_voxels(np.zeros((40, 45, 50), np.int16))] * 2)
    with pytest.raises(InvalidInputError, match="no label 'node'; expected one of 'background', 'lesion', 'organ'"):
        network.segment_with_probabilities([scan_of()] * 2, ["node"])
