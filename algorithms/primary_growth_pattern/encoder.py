"""Trains the small encoder of tiles that ships, from simulated slides whose tissue and cells are known.

    python -m primary_growth_pattern.encoder FOLDER

It learns to predict what a tile holds: the share of each tissue, and how many lymphocytes, tumour buds and tumour cells.
How that relates to the growth pattern is for a head of ``preop.mil`` to learn. The dyes of each tile are changed at random
(as in Tellez 2019, doi 10.1016/j.media.2019.101544), so that another laboratory's stain is nothing new.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preop.repeatable import repeatable
from preop.slides import Encoder, Slide, Tiling, new_small_encoder, write_encoder
from preop.slides.levels import Pixels
from preop.slides.tissue import DYES

from .definitions import TissueLabel
from .simulation import SMALL_SLIDE_PX, draw_patient
from .simulation.anatomy import MAP_UM, Architecture, Cell

Floats = NDArray[np.float32]

COUNTED = (Cell.LYMPHOCYTE, Cell.BUD, Cell.TUMOUR)
MAX_BACKGROUND = 0.7
"""Of a tile to learn from."""

_SEED_OF_SLIDES = 770
_DYE_FACTORS = (0.7, 1.3)
_BRIGHTNESS = (0.95, 1.05)
_COUNT_WEIGHT = 0.5
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Examples:
    """Tiles and what they hold.

    Attributes
    ----------
    tiles
        RGB (n, side, side, 3).
    shares
        Of each label of the tissue map (n, labels).
    counts
        Number of cells of each kind of ``COUNTED`` (n, kinds).
    """

    tiles: Pixels
    shares: Floats
    counts: Floats


def train_encoder(
    slides: int = 36,
    *,
    tiles_per_slide: int = 100,
    epochs: int = 4,
    learning_rate: float = 3e-3,
    seed: int = 0,
    slide_px: int = SMALL_SLIDE_PX,
    advance: Callable[[str], None] = lambda _: None,
) -> Encoder:
    """Train the small encoder.

    Parameters
    ----------
    slides
        Simulated slides to learn from, of the centres whose stain is seen in training.
    tiles_per_slide
        At most, drawn at random among those with tissue.
    learning_rate
        Highest of a cycle (Smith 2018, "1cycle").
    slide_px
        Side of a slide in pixels of 0.5 micrometres.
    advance
        Called with the progress in words.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    encoder = new_small_encoder(seed)
    examples = _simulated(slides, tiles_per_slide, seed, slide_px, encoder, advance)
    scale = np.log1p(examples.counts).std(axis=0) + 1e-3
    shares, counts = torch.from_numpy(examples.shares), torch.from_numpy(np.log1p(examples.counts) / scale)
    with repeatable(seed):
        encoder.network.train()
        outputs = nn.Linear(encoder.info.features, shares.shape[1] + counts.shape[1])
        optimizer = torch.optim.AdamW([*encoder.network.parameters(), *outputs.parameters()], weight_decay=1e-2)
        steps = epochs * -(-len(shares) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
        rng = np.random.default_rng(seed)
        for epoch in range(epochs):
            total = 0.0
            order = rng.permutation(len(shares))
            for rows in np.array_split(order, steps // epochs):
                tiles = torch.from_numpy(augmented(rng, examples.tiles[rows]))
                predicted = outputs(encoder.features(tiles))
                of_shares = functional.cross_entropy(predicted[:, : shares.shape[1]], shares[rows])
                of_counts = functional.smooth_l1_loss(predicted[:, shares.shape[1] :], counts[rows])
                loss = of_shares + _COUNT_WEIGHT * of_counts
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += float(loss.detach()) * len(rows)
            advance(f"epoch {epoch + 1} of {epochs}: loss {total / len(shares):.3f}")
    info = encoder.info.model_copy(
        update={"source": f"simulated slides: python -m primary_growth_pattern.encoder --slides {slides} --seed {seed}"}
    )
    return replace(encoder, info=info, network=encoder.network.eval())


def augmented(rng: np.random.Generator, tiles: Pixels) -> Pixels:
    """Turn and mirror tiles (n, side, side, 3), and change the amounts of their dyes and the light."""
    return np.stack([_augmented(rng, tile) for tile in tiles])


def _augmented(rng: np.random.Generator, tile: Pixels) -> Pixels:
    turned = np.rot90(tile, int(rng.integers(4)))
    turned = turned[:, ::-1] if rng.random() < 0.5 else turned
    # Optical density is linear in the dyes: what is not one of them, the residue, stays.
    density = -np.log10((turned.astype(np.float32) + 1) / 256)
    amounts = density.reshape(-1, 3) @ np.linalg.pinv(DYES).astype(np.float32)
    change = (rng.uniform(*_DYE_FACTORS, 2) - 1).astype(np.float32)
    changed = density + ((amounts * change) @ DYES.astype(np.float32)).reshape(density.shape)
    light = rng.uniform(*_BRIGHTNESS, 3).astype(np.float32)
    seen = 256 * light * 10 ** -np.maximum(changed, 0) - 1
    return np.asarray(np.clip(seen, 0, 255), np.uint8)


def examples_of(architecture: Architecture, slide: Slide, tiling: Tiling) -> Examples:
    """Read tiles, and say what each holds after the architecture that was painted."""
    tiles = np.stack([tile.pixels for tile in slide.tiles(tiling)])
    side = round(tiling.size_um / MAP_UM)
    grid = (int(tiling.rows.max()) + 1, int(tiling.columns.max()) + 1)
    labels = np.zeros((grid[0] * side, grid[1] * side), np.uint8)
    height, width = (min(pair) for pair in zip(labels.shape, architecture.labels.shape, strict=True))
    labels[:height, :width] = architecture.labels[:height, :width]
    blocks = labels.reshape(grid[0], side, grid[1], side).swapaxes(1, 2)[tiling.rows, tiling.columns]
    shares = np.stack([(blocks == label).mean(axis=(1, 2)) for label in TissueLabel], axis=1)
    counts = [_per_tile(architecture.cells_um[architecture.kinds == kind], grid, tiling) for kind in COUNTED]
    return Examples(tiles, shares.astype(np.float32), np.stack(counts, axis=1).astype(np.float32))


def _per_tile(cells_um: NDArray[np.float64], grid: tuple[int, int], tiling: Tiling) -> NDArray[np.float64]:
    edges = [np.arange(side + 1) * tiling.size_um for side in grid]
    counted: NDArray[np.float64] = np.histogram2d(cells_um[:, 0], cells_um[:, 1], bins=edges)[0]
    return counted[tiling.rows, tiling.columns]


def _simulated(
    slides: int, tiles_per_slide: int, seed: int, slide_px: int, encoder: Encoder, advance: Callable[[str], None]
) -> Examples:
    parts = []
    for number, part in enumerate(_slides(slides, tiles_per_slide, seed, slide_px, encoder)):
        parts.append(part)
        advance(f"slide {number + 1} of {slides}")
    return Examples(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("tiles", "shares", "counts"))
    )


def _slides(slides: int, tiles_per_slide: int, seed: int, slide_px: int, encoder: Encoder) -> Iterator[Examples]:
    rng = np.random.default_rng([_SEED_OF_SLIDES, seed])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        for number in range(slides):
            patient = draw_patient(_SEED_OF_SLIDES + seed, number, shape_px=(slide_px, slide_px))
            # Written and read, so that tiles look as JPEG leaves them.
            patient.write_slide(path)
            with Slide(path) as slide:
                tiling = slide.tiling(size_px=encoder.info.tile_px, um_per_pixel=encoder.info.um_per_pixel)
                found = examples_of(patient.architecture, slide, tiling)
            usable = np.flatnonzero(found.shares[:, TissueLabel.BACKGROUND] < MAX_BACKGROUND)
            chosen = rng.permutation(usable)[:tiles_per_slide]
            yield Examples(found.tiles[chosen], found.shares[chosen], found.counts[chosen])


def main() -> None:
    """Train, and write the encoder's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slides", type=int, default=36)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    encoder = train_encoder(arguments.slides, seed=arguments.seed, advance=lambda words: print(words, flush=True))
    write_encoder(arguments.folder, encoder)
    print(f"The encoder is in {arguments.folder}")


if __name__ == "__main__":
    main()
