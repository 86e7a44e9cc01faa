"""Proposals from a click, a box or a network."""

from __future__ import annotations

import shutil
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import Image, read_image
from preop.review import proposals
from preop.review.networks import Networks, drawn_structure
from preop.review.proposals import Prompt, RandomWalker, RegionGrowing, promptables
from preop.review.results import Predictions
from preop.review.review import numbered
from tests.conftest import ROOT
from tests.review.conftest import OBLIQUE_GRID, STRAIGHT_GRID, ball, ct

MIDDLE = (10, 16, 14)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def test_a_click_grows_to_the_border_of_the_structure() -> None:
    found = RegionGrowing().propose(ct(STRAIGHT_GRID), Prompt(inside=[MIDDLE]), np.zeros(STRAIGHT_GRID.shape, bool))
    assert dice(found, ball(STRAIGHT_GRID).voxels > 0) > 0.9


@pytest.mark.parametrize("grid", [STRAIGHT_GRID, OBLIQUE_GRID])
def test_a_box_around_the_structure_finds_it(grid) -> None:  # type: ignore[no-untyped-def]
    truth = ball(grid).voxels > 0
    inside = np.argwhere(truth)
    low, high = np.maximum(inside.min(0) - 2, 0), np.minimum(inside.max(0) + 2, np.array(grid.shape) - 1)
    box = (tuple(low.tolist()), tuple(high.tolist()))
    found = RandomWalker().propose(ct(grid), Prompt(box=box), np.zeros(grid.shape, bool))
    assert dice(found, truth) > 0.85
    outside = np.ones(grid.shape, bool)
    outside[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] = False
    assert not found[outside].any()


def test_a_large_box_is_thinned_out_and_still_finds_the_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RandomWalker, "MAX_VOXELS", 2000)
    box = ((2, 4, 4), (17, 27, 24))
    found = RandomWalker().propose(ct(STRAIGHT_GRID), Prompt(box=box), np.zeros(STRAIGHT_GRID.shape, bool))
    assert found.shape == STRAIGHT_GRID.shape
    assert dice(found, ball(STRAIGHT_GRID).voxels > 0) > 0.7


@pytest.mark.parametrize("prompt", [Prompt(), Prompt(inside=[(10, 16, 99)]), Prompt(inside=[(-1, 0, 0)])])
def test_a_prompt_that_points_at_nothing_is_told(prompt: Prompt) -> None:
    with pytest.raises(InvalidInputError):
        RegionGrowing().propose(ct(STRAIGHT_GRID), prompt, np.zeros(STRAIGHT_GRID.shape, bool))


class Everything:
    """A promptable network of another package."""

    title = "Everything"
    needs = "click"

    def propose(self, scan: Image, prompt: Prompt, current: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        return np.ones(scan.shape, bool)


def test_an_installed_network_joins_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("everything", f"{__name__}:Everything", proposals.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda _: Everything)
    monkeypatch.setattr(proposals, "entry_points", lambda **_: EntryPoints([entry]))
    assert list(promptables()) == ["region-growing", "random-walker", "everything"]
    assert promptables()["everything"].title == "Everything"


def test_an_installed_network_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("broken", "no_such_module:Network", proposals.ENTRY_POINTS)
    monkeypatch.setattr(proposals, "entry_points", lambda **_: EntryPoints([entry]))
    with pytest.raises(InvalidInputError, match=r"broken.*no_such_module"):
        promptables()


def test_a_folder_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"plans\.json"):
        Networks({"x": tmp_path})


def finished(networks: Networks, scan: Path) -> str:
    """Propose and wait; gives the sentence of the error."""
    job = networks.begin("net", 1, "mask", scan)
    networks._pool.shutdown(wait=True)
    assert networks.job(job.id).finished
    return networks.job(job.id).error


def test_a_network_that_is_damaged_is_told_to_the_reviewer(tmp_path: Path, cohort: Path) -> None:
    (tmp_path / "plans.json").write_text("{}")
    assert "damaged" in (error := finished(Networks({"net": tmp_path}), cohort.parent / "one" / "ct.nii.gz")) or error


def test_what_is_proposed_is_the_structure_without_its_kinds_and_without_the_organ_around() -> None:
    labels = np.array([0, 1, 2, 3])
    assert drawn_structure(labels, {"background": 0, "desmoplastic": 1, "pushing": 2, "liver": 3}).tolist() == [
        0,
        1,
        1,
        0,
    ]
    assert drawn_structure(labels, {"background": 0, "tumour": 1, "edge": (2, 3)}).tolist() == [0, 1, 1, 1]
    assert drawn_structure(labels, {"background": 0, "spleen": 1, "stomach": 2, "liver": 3}).tolist() == [0, 1, 1, 1]


def test_a_result_that_draws_kinds_becomes_a_number_for_each_part(tmp_path: Path) -> None:
    liver = read_algorithm(ROOT / "algorithms" / "liver_growth_pattern")
    shutil.copytree(liver.folder / "test" / "non_desmoplastic" / "expected", tmp_path / "one")
    drawn = read_image(next((tmp_path / "one" / "images" / "growth-pattern-map").glob("*.mha")))
    (layer,) = Predictions(tmp_path, liver, ["one"]).of("one").layers
    assert (layer.slug, layer.is_labels, layer.of_kinds) == ("growth-pattern-map", True, True)
    assert len(np.unique(drawn.voxels)) - 1 < 3  # two of the three metastases grow by the same pattern
    numbers = numbered(drawn).voxels
    assert set(np.unique(numbers)) == {0, 1, 2, 3}
    assert ((numbers > 0) == (drawn.voxels > 0)).all()


def test_only_networks_that_were_named_are_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="There is no network 'other'"):
        Networks({}).begin("other", 1, "mask", tmp_path)
    with pytest.raises(InvalidInputError, match="not known any more"):
        Networks({}).job("x")
