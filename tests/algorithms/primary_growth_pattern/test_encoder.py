"""The small encoder learns what simulated tiles hold, under stains of many kinds."""

from pathlib import Path

import numpy as np
import pytest

from preop.slides import Slide, read_encoder, write_encoder
from primary_growth_pattern.definitions import TissueLabel
from primary_growth_pattern.encoder import COUNTED, augmented, examples_of, train_encoder
from primary_growth_pattern.simulation import draw_patient
from primary_growth_pattern.simulation.anatomy import Cell

SIDE_PX = 1024


@pytest.mark.slow
def test_what_a_tile_holds_is_what_was_painted(tmp_path: Path) -> None:
    patient = draw_patient(4, 1, shape_px=(SIDE_PX, SIDE_PX))
    patient.write_slide(tmp_path / "slide.tif")
    with Slide(tmp_path / "slide.tif") as slide:
        found = examples_of(patient.architecture, slide, slide.tiling(size_px=256, um_per_pixel=0.5))
    assert found.tiles.shape == (16, 256, 256, 3)
    assert found.shares.sum(axis=1) == pytest.approx(1)
    labels = patient.architecture.labels
    assert found.shares.mean(axis=0) == pytest.approx([(labels == label).mean() for label in TissueLabel], abs=1e-6)
    assert found.shares[5] == pytest.approx([(labels[32:64, 32:64] == label).mean() for label in TissueLabel])
    for kind, count in zip(COUNTED, found.counts.sum(axis=0), strict=True):
        assert count == (patient.architecture.kinds == kind).sum()
    assert Cell.TUMOUR in COUNTED


def test_another_stain_changes_tissue_and_leaves_glass() -> None:
    tiles = np.full((2, 8, 8, 3), 250, np.uint8)
    tiles[:, :4] = (150, 80, 140)
    changed = augmented(np.random.default_rng(1), tiles)
    assert changed.shape == tiles.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(changed, augmented(np.random.default_rng(1), tiles))
    brightest = changed.reshape(2, -1, 3).max(axis=1).astype(int)
    darkest = changed.reshape(2, -1, 3).min(axis=1).astype(int)
    assert (brightest > 225).all()
    assert (np.abs(darkest - (150, 80, 140)) > 4).any()


def test_training_gives_an_encoder_that_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        encoder = train_encoder(1, tiles_per_slide=6, epochs=1, seed=3, slide_px=SIDE_PX)
        write_encoder(tmp_path / name, encoder)
    first, second = (tmp_path / name / "weights.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    features = read_encoder(tmp_path / "first", device="cpu").encode(np.zeros((2, 256, 256, 3), np.uint8))
    assert features.shape == (2, 480)
    assert np.isfinite(features).all()
    assert first.stat().st_mode & 0o777 == 0o644
