import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from preop.errors import InvalidInputError, InvalidModelError
from preop.folders import sha256
from preop.imaging import Geometry, Image, write_tiff
from preop.slides import Slide, Tissue, write_slide
from preop.slides.slide import Tile
from preop.slides.tiling import Tiling
from preop.study import DataSource
from primary_growth_pattern.annotations import read_regions
from primary_growth_pattern.definitions import CellKind, TissueLabel
from primary_growth_pattern.findings import (
    NOT_ANNOTATED,
    Cells,
    ItemAgreement,
    NetworkSettings,
    Region,
    Thresholds,
    TissueMap,
)
from primary_growth_pattern.learning import _Patches, _places_of_tissues, blobs, cell_loss, choose_thresholds
from primary_growth_pattern.networks import CellNetwork, Networks, TissueNetwork
from primary_growth_pattern.reading import find_centres
from primary_growth_pattern.simulation.annotated_slides import simulated_regions
from primary_growth_pattern.stain import density, disturbed, draw_stain
from primary_growth_pattern.tissue import (
    _framed_tiles,
    fit_networks,
    load_networks,
    measure,
    note_figures,
    readable,
    write_networks,
)
from tests.conftest import ROOT, threads_of_torch

SOURCE = DataSource(description="Made by hand", simulated=True)
TINY = NetworkSettings(
    tissue_channels=(4, 4), cell_channels=(4, 4), tissue_steps=2, cell_steps=2, tissue_patch_px=64, cell_patch_px=64
)
SPOTS_UM = [(100, 100), (1020, 700), (1030, 700), (1500, 1022), (2300, 1800)]


class Looker:
    """Stands in for networks: dark is tumour, and a black spot is a lymphocyte."""

    def read(self, pixels: np.ndarray) -> tuple[np.ndarray, Cells]:
        dark = pixels[..., 1].reshape(pixels.shape[0] // 8, 8, -1, 8).mean(axis=(1, 3)) < 200
        y, x = np.nonzero(
            (pixels[..., 1] < 40) & (np.roll(pixels[..., 1], 1, 0) > 40) & (np.roll(pixels[..., 1], 1, 1) > 40)
        )
        points = np.stack([y, x], axis=1).astype(np.float32)
        return dark.astype(np.uint8), Cells(points, np.zeros(len(points), np.uint8), np.ones(len(points), np.float32))


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slide of 2.5 x 2.1 mm at one micrometre: a grey square with spots on white glass."""
    pixels = np.full((2496, 2112, 3), 250, np.uint8)
    pixels[64:2400, 64:2048] = 150
    for y, x in SPOTS_UM:
        pixels[y : y + 6, x : x + 6] = 0
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    write_slide([pixels], pixels.shape[:2], 1.0, path)
    return path


def mask_of(shape_um: tuple[int, int], *, um: float = 16.0, fill: bool = True) -> Image:
    shape = tuple(round(side / um) for side in shape_um)
    return Image(np.full(shape, fill), Geometry.axis_aligned(shape, (um / 1000,) * 2))


def test_a_map_and_cells_lie_where_they_are_on_the_slide(slide_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    with Slide(slide_path) as slide:
        tissue, cells = measure(slide, mask_of((2496, 2112)), Looker(), lambda done, total: steps.append((done, total)))
    assert tissue.labels.shape == (312, 264)
    assert tissue.um_per_pixel == 8
    expected = np.zeros((312, 264), np.uint8)
    expected[8:300, 8:256] = 1
    assert np.array_equal(tissue.labels, expected)
    assert tissue.clear is not None
    assert np.array_equal(tissue.clear, expected == 0)  # glass
    found = sorted(map(tuple, cells.points_um.round().tolist()))
    assert np.allclose(found, sorted(SPOTS_UM), atol=1.5)
    assert steps == [(number, 9) for number in range(1, 10)]


def test_what_the_mask_leaves_out_is_background_without_cells(slide_path: Path) -> None:
    mask = mask_of((2496, 2112))
    mask.voxels[:, : 720 // 16] = False
    with Slide(slide_path) as slide:
        tissue, cells = measure(slide, mask, Looker())
    assert not tissue.labels[:, :90].any()
    assert tissue.labels[100, 95] == 1
    assert sorted(cells.points_um[:, 0].round(-1).tolist()) == [1500, 2300]


def test_a_mask_that_is_smaller_than_the_slide_leaves_the_rest_out(slide_path: Path) -> None:
    with Slide(slide_path) as slide:
        tissue, cells = measure(slide, mask_of((800, 800)), Looker())
    assert tissue.labels[90, 90] == 1
    assert not tissue.labels[101:].any()
    assert len(cells.points_um) == 1


def test_an_empty_mask_is_refused(slide_path: Path) -> None:
    with Slide(slide_path) as slide, pytest.raises(InvalidInputError, match="no tissue that can be assessed"):
        measure(slide, mask_of((2496, 2112), fill=False), Looker())


def test_a_slide_that_is_too_coarse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "coarse.tif"
    write_slide([np.full((256, 256, 3), 150, np.uint8)], (256, 256), 4.0, path)
    with Slide(path) as slide, pytest.raises(InvalidInputError, match="4 micrometres per pixel at best; expected 1"):
        measure(slide, mask_of((1024, 1024)), Looker())


def test_three_rows_of_tiles_are_in_memory_however_many_there_are() -> None:
    alive: set[int] = set()
    most = 0

    class Many:
        def tiles(self, tiling: Tiling) -> Iterator[Tile]:
            nonlocal most
            for number in range(len(tiling)):
                pixels = np.zeros((1024, 1024, 3), np.uint8)
                alive.add(number)
                weakref.finalize(pixels, alive.discard, number)
                most = max(most, len(alive))
                yield Tile(number, pixels)
                del pixels

    rows, columns = np.divmod(np.arange(200), 2)
    tiling = Tiling(1.0, 1024, rows.astype(np.int32), columns.astype(np.int32))
    assert sum(1 for _ in _framed_tiles(Many(), tiling)) == 200
    assert most <= 3 * 2 + 1


def test_a_tile_is_framed_by_what_lies_around_it() -> None:
    class Numbered:
        def tiles(self, tiling: Tiling) -> Iterator[Tile]:
            for number in range(len(tiling)):
                yield Tile(number, np.full((1024, 1024, 3), number + 1, np.uint8))

    # 1 2
    # . 3   and, two rows further down, 4
    tiling = Tiling(1.0, 1024, np.array([0, 0, 1, 3], np.int32), np.array([0, 1, 1, 1], np.int32))
    framed = {(row, column): pixels[..., 0] for row, column, pixels in _framed_tiles(Numbered(), tiling)}
    assert list(framed) == [(0, 0), (0, 1), (1, 1), (3, 1)]
    third = framed[1, 1]
    assert (third[0, 0], third[0, 600], third[600, 0], third[600, 600], third[-1, 600]) == (1, 2, 255, 3, 255)
    assert set(np.unique(framed[3, 1])) == {4, 255}


def test_fat_beside_tissue_is_looked_at_but_neither_pen_nor_fold_nor_blur() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[40:70, 40:70] = Tissue.TISSUE
    labels[45, 40:70], labels[55, 40:70], labels[65, 40:70] = Tissue.PEN, Tissue.FOLD, Tissue.BLUR
    mask = readable(Image(labels, Geometry.axis_aligned(labels.shape, (0.016, 0.016)))).voxels
    assert mask[40 - 25, 50]
    assert not mask[40 - 26, 50]
    assert not mask[[45, 55, 65], 50].any()
    assert not mask[57, 50]  # the slope of the fold
    assert mask[58, 50]


def test_without_tissue_nothing_is_looked_at() -> None:
    labels = np.full((20, 20), Tissue.PEN, np.uint8)
    assert not readable(Image(labels, Geometry.axis_aligned(labels.shape, (0.016, 0.016)))).voxels.any()


def test_points_outside_a_map_lie_on_background() -> None:
    tissue = TissueMap(np.full((2, 2), 5, np.uint8), 8.0, (100.0, 0.0))
    assert tissue.at(np.array([[100, 0], [115, 15], [116, 0], [99, 0], [100, -1]])).tolist() == [5, 5, 0, 0, 0]


def test_centres_are_the_highest_places_that_reach_their_threshold() -> None:
    logits = torch.full((2, 20, 20), -9.0)
    logits[CellKind.LYMPHOCYTE, 5, 5], logits[CellKind.LYMPHOCYTE, 5, 6] = 3.0, 2.0  # one cell
    logits[CellKind.LYMPHOCYTE, 5, 9] = -1.0
    logits[CellKind.BUD, 10, 10], logits[CellKind.BUD, 12, 12] = 2.0, 1.0  # one bud, of two nuclei
    found = find_centres(logits.numpy(), Thresholds(lymphocyte=0.5, bud=0.5))
    assert found.of(CellKind.LYMPHOCYTE).tolist() == [[22, 22]]
    assert found.of(CellKind.BUD).tolist() == [[42, 42]]
    assert found.probability.tolist() == pytest.approx([0.9526, 0.8808], abs=1e-3)


def region(patient: str = "p", side: int = 64) -> Region:
    labels = np.full((side // 8, side // 8), TissueLabel.TUMOUR, np.uint8)
    labels[:, : side // 16] = TissueLabel.LYMPHOID
    return Region(
        pixels=np.full((side, side, 3), 150, np.uint8),
        labels=labels,
        points_um=np.array([[10, 10], [40, 50]], np.float32),
        kinds=np.array([CellKind.LYMPHOCYTE, CellKind.BUD], np.uint8),
        patient=patient,
    )


def test_a_blob_is_highest_at_its_centre_and_wider_for_a_bud() -> None:
    drawn = blobs(region()).astype(float)
    assert drawn.shape == (2, 16, 16)
    assert drawn[CellKind.LYMPHOCYTE, 2, 2] == drawn[CellKind.BUD, 10, 12] == 1
    assert drawn[CellKind.BUD, 10, 14] > drawn[CellKind.LYMPHOCYTE, 2, 4] > 0


def test_a_rare_tissue_is_seen_often() -> None:
    large = region(side=1024)
    large.labels[:] = TissueLabel.MUSCLE
    large.labels[100, 30] = TissueLabel.NECROSIS
    patches = _Patches([large], [large.labels], _places_of_tissues([large]), 64, seed=0)
    _, labels = patches.draw(200)
    seen = (labels == TissueLabel.NECROSIS).any(dim=2).any(dim=1).float().mean()
    assert 0.2 < seen < 0.45  # of seven patches in ten, every second; by chance it would be one in 250


def test_a_patch_and_its_target_are_turned_alike() -> None:
    half = region(side=64)
    half.pixels[:, :32] = 20
    patches = _Patches([half], [half.labels], _places_of_tissues([half]), 64, seed=0)
    for picture, labels in zip(*patches.draw(16), strict=True):
        dark = picture.mean(dim=0).reshape(8, 8, 8, 8).mean(dim=(1, 3)) > picture.mean()
        assert torch.equal(dark, labels == TissueLabel.LYMPHOID)


def test_saying_what_is_true_costs_least() -> None:
    target = torch.from_numpy(blobs(region()).astype(np.float32))[None]
    right = torch.where(target >= 1, 8.0, -8.0)
    nowhere, everywhere = torch.full_like(target, -8.0), torch.full_like(target, 8.0)
    assert cell_loss(right, target) < 0.01 < cell_loss(nowhere, target)
    assert cell_loss(right, target) < cell_loss(everywhere, target)


def test_the_threshold_finds_as_many_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = {CellKind.LYMPHOCYTE: [0.9, 0.7, 0.4], CellKind.BUD: [0.8, 0.3]}
    points = np.array([[40, 50]] * 4 + [[10, 10]], np.float32)  # the last bud lies in an aggregate, and does not count
    kinds = np.array([0, 0, 0, 1, 1], np.uint8)
    found = Cells(points, kinds, np.array([*chances[CellKind.LYMPHOCYTE], *chances[CellKind.BUD]], np.float32))
    monkeypatch.setattr("primary_growth_pattern.learning.find_centres", lambda *_: found)
    two = Region(*(getattr(region(), name) for name in ("pixels", "labels")), points[[0, 1, 3]], kinds[[0, 1, 3]], "p")
    thresholds = choose_thresholds(CellNetwork((4, 4)), [two], seed=0)
    assert (thresholds.lymphocyte, thresholds.bud) == pytest.approx((0.7, 0.8))


def test_a_random_stain_keeps_glass_pale_and_tissue_dark() -> None:
    rng = np.random.default_rng(0)
    glass, tissue = (density(np.array([[colour]], np.uint8)) for colour in ((250, 250, 250), (150, 90, 160)))
    for _ in range(50):
        stain = draw_stain(rng)
        pale, dark = (np.maximum(part @ stain.mixing, 0) + stain.white for part in (glass, tissue))
        assert pale.max() < 0.1
        assert dark.sum() > pale.sum() + 0.3


def test_another_scanner_shows_the_same_tissue_at_the_same_place() -> None:
    picture = np.zeros((64, 64, 3), np.float32)
    picture[16:48, 16:48] = (0.5, 0.8, 0.4)
    rng = np.random.default_rng(0)
    shown = [disturbed(picture, rng) for _ in range(40)]
    assert all(each.shape == picture.shape and each.dtype == np.float32 and (each >= 0).all() for each in shown)
    assert all(each[24:40, 24:40].sum(axis=2).mean() > 1.2 and each[:8].sum(axis=2).mean() < 0.2 for each in shown)
    assert len({each.tobytes() for each in shown}) > 20


def test_densities_are_those_of_the_library() -> None:
    from preop.slides.tissue import densities

    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert np.allclose(density(pixels), densities(pixels), atol=1e-5)


@pytest.fixture(scope="module")
def tiny() -> Networks:
    return fit_networks([region("a"), region("b"), region("c")], TINY, SOURCE)


def test_networks_come_back_from_their_folder(tiny: Networks, tmp_path: Path) -> None:
    info = write_networks(tmp_path, tiny)
    again = load_networks(tmp_path)
    assert again.info == info
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    (labels, cells), (same_labels, same_cells) = tiny.read(pixels), again.read(pixels)
    assert labels.shape == (8, 12)
    assert np.array_equal(labels, same_labels)
    assert np.array_equal(cells.points_um, same_cells.points_um)


def test_the_same_seed_trains_the_same_networks(tiny: Networks) -> None:
    with threads_of_torch(3):
        again = fit_networks([region("a"), region("b"), region("c")], TINY, SOURCE)
    for name, value in tiny.cells.state_dict().items():
        assert torch.equal(value, again.cells.state_dict()[name])
    assert again.info == tiny.info


def test_damaged_networks_are_refused(tiny: Networks, tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"networks\.json is missing"):
        load_networks(tmp_path)
    write_networks(tmp_path, tiny)
    weights = tmp_path / "cells.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(InvalidModelError, match="not the file that was written"):
        load_networks(tmp_path)
    weights.unlink()
    with pytest.raises(InvalidModelError, match=r"cells\.safetensors is missing"):
        load_networks(tmp_path)
    weights.write_bytes(whole)
    content = json.loads((tmp_path / "networks.json").read_text())
    content["settings"]["cell_channels"] = [4, 8]
    (tmp_path / "networks.json").write_text(json.dumps(content))
    with pytest.raises(InvalidModelError, match="do not fit their settings in"):
        load_networks(tmp_path)
    (tmp_path / "networks.json").write_text("{}")
    with pytest.raises(InvalidModelError, match=r"networks\.json, format: Field required"):
        load_networks(tmp_path)


def test_items_that_do_not_agree_with_their_truth_are_unreliable(tiny: Networks, tmp_path: Path) -> None:
    write_networks(tmp_path, tiny)
    agreement = {
        "budding": ItemAgreement(icc=0.6, spearman=0.7, slides=40),
        "lymphocytes": ItemAgreement(icc=0.95, spearman=0.8, slides=40),
        "necrosis": ItemAgreement(icc=0.7, spearman=0.97, slides=40),
    }
    note_figures(tmp_path, agreement=agreement, agreement_measured_on="40 slides")
    networks = load_networks(tmp_path)
    assert set(networks.info.unreliable) == {"budding", "necrosis"}
    assert "ICC 0.60 (Spearman 0.70) on 40 slides" in networks.info.unreliable["budding"]


def test_figures_that_are_noted_renew_the_checksum_in_the_model(tmp_path: Path) -> None:
    shipped = ROOT / "algorithms" / "primary_growth_pattern" / "model"
    model = tmp_path / "model"
    shutil.copytree(shipped / "networks", model / "networks")
    shutil.copy(shipped / "model.json", model)
    before = json.loads((model / "model.json").read_text())
    note_figures(model / "networks", agreement_measured_on="two slides")
    after = json.loads((model / "model.json").read_text())
    assert after["files"].pop("networks/networks.json") == sha256(model / "networks" / "networks.json")
    assert before["files"].pop("networks/networks.json") != sha256(model / "networks" / "networks.json")
    assert after == before


def test_a_training_that_was_stopped_goes_on_to_the_same_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = [region("a"), region("b"), region("c")]
    longer = TINY.model_copy(update={"tissue_steps": 4, "cell_steps": 4})
    monkeypatch.setattr("primary_growth_pattern.learning._STEPS_TO_KEEP", 2)
    whole = fit_networks(regions, longer, SOURCE)
    steps = iter(range(7))

    def stop(_done: int, _total: int) -> None:
        if next(steps) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_networks(regions, longer, SOURCE, stop, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tissue.pt", "cells.pt"}
    again = fit_networks(regions, longer, SOURCE, None, tmp_path)
    assert again.info == whole.info
    for one, other in ((whole.tissue, again.tissue), (whole.cells, again.cells)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_regions_that_do_not_fit_together_are_refused() -> None:
    one = region()
    with pytest.raises(InvalidInputError, match="are of 1 patients"):
        fit_networks([one], TINY, SOURCE)
    with pytest.raises(InvalidInputError, match="expected multiples of 32 from 64 on"):
        fit_networks([region(side=32)], TINY, SOURCE)
    with pytest.raises(InvalidInputError, match="expected one label for 8 x 8 pixels"):
        fit_networks([Region(one.pixels, one.labels[1:], one.points_um, one.kinds, "p")], TINY, SOURCE)
    with pytest.raises(InvalidInputError, match="expected y and x for each kind"):
        fit_networks([Region(one.pixels, one.labels, one.points_um[1:], one.kinds, "p")], TINY, SOURCE)


def test_regions_of_simulated_slides_hold_what_was_painted() -> None:
    for found in simulated_regions(7, 1):
        assert found.pixels.shape == (512, 512, 3)
        assert found.labels.shape == (64, 64)
        assert ((found.points_um >= 0) & (found.points_um < 512)).all()
        dark = density(found.pixels)[..., 0]
        lymphocytes = found.points_um[found.kinds == CellKind.LYMPHOCYTE].astype(int)
        assert np.median(dark[tuple(lymphocytes.T)]) > 2 * np.median(dark)


def test_networks_are_no_larger_than_two_cores_can_use() -> None:
    settings = NetworkSettings()
    for network in (TissueNetwork(settings.tissue_channels), CellNetwork(settings.cell_channels)):
        assert sum(value.numel() for value in network.parameters()) < 1_000_000


def annotated_patient(folder: Path) -> Path:
    """Slide of 1.5 x 1.2 mm; above 0.8 mm all is annotated, below nothing."""
    pixels = np.full((1504, 1216, 3), 200, np.uint8)
    pixels[:, 1100:] = 100
    labels = np.full((188, 152), NOT_ANNOTATED, np.uint8)
    labels[:100], labels[:100, 130:] = TissueLabel.MUSCLE, TissueLabel.TUMOUR
    folder.mkdir()
    write_slide([pixels], pixels.shape[:2], 1.0, folder / "primary-tumour-slide.tif")
    write_tiff(Image(labels, Geometry.axis_aligned(labels.shape, (0.008, 0.008))), folder / "tissue-map.tif")
    (folder / "points.csv").write_text("kind,y_um,x_um,cells\nlymphocyte,10,20,1\nbud,700,1100.5,3\n")
    return folder


def test_annotated_slides_are_cut_into_regions(tmp_path: Path) -> None:
    left, right = read_regions(annotated_patient(tmp_path / "p01"))
    assert left.patient == right.patient == "p01"
    assert left.pixels.shape == right.pixels.shape == (1024, 1024, 3)
    assert set(np.unique(left.labels)) == {TissueLabel.MUSCLE, NOT_ANNOTATED}
    assert (right.labels[:100, 2:24] == TissueLabel.TUMOUR).all()
    assert (right.labels[:, 24:] == NOT_ANNOTATED).all()  # beyond the slide
    assert left.points_um.tolist() == [[10, 20]]
    assert right.points_um.tolist() == [[700, 76.5]]
    assert right.kinds.tolist() == [CellKind.BUD]
    assert right.pixels[500, 90].mean() < 120 < right.pixels[500, 60].mean()


def test_annotations_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    folder = annotated_patient(tmp_path / "p01")
    points = folder / "points.csv"
    points.write_text("kind,y_um,x_um\nmacrophage,10,20\n")
    with pytest.raises(InvalidInputError, match=r"'macrophage'.*kind \(lymphocyte or bud\)"):
        list(read_regions(folder))
    points.unlink()
    with pytest.raises(InvalidInputError, match=r"no points\.csv in"):
        list(read_regions(folder))
    points.write_text("kind,y_um,x_um\n")
    nothing = np.full((188, 152), NOT_ANNOTATED, np.uint8)
    write_tiff(Image(nothing, Geometry.axis_aligned(nothing.shape, (0.008, 0.008))), folder / "tissue-map.tif")
    with pytest.raises(InvalidInputError, match="Nothing is annotated in p01"):
        list(read_regions(folder))


def test_what_is_not_annotated_costs_nothing() -> None:
    one = region()
    one.labels[4:] = NOT_ANNOTATED
    target = torch.from_numpy(blobs(one).astype(np.float32))[None]
    wrong_there = torch.where(target.nan_to_num() >= 1, 8.0, -8.0)
    wrong_there[..., 8:, :] = 8.0
    assert cell_loss(wrong_there, target) < 0.01
