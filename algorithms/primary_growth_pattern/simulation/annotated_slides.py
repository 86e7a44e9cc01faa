"""Annotated regions of simulated slides, as a pathologist would mark them: what the networks that ship learned from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preop.slides import Slide, write_slide
from primary_growth_pattern.definitions import CellKind, hot_spot
from primary_growth_pattern.findings import INPUT_UM, Region
from primary_growth_pattern.findings import MAP_UM as LABEL_UM

from .anatomy import MAP_UM, USUAL, Architecture, Cell, draw_architecture, random_build
from .cohort import SLIDE_PX, draw_facts, generator
from .disease import Biology
from .looks import PIXEL_UM, Look, random_look, usual_look
from .scan import MAP_PX, Stain, strips

SIDE_UM = 512.0
_SIDE = round(SIDE_UM / MAP_UM)
_MOST_TIL_PER_MM2 = 1500.0  # as in a dense infiltrate


def simulated_regions(seed: int, number: int) -> Iterator[Region]:
    """Draw a patient, and paint three squares of half a millimetre of the slide.

    They lie around most buds, around the largest lymphoid aggregate, and in any tissue, glass too, each as often. In two
    patients of three the tumour has more of what is rare: buds, lymphocytes, aggregates, mucus; and two of three have a look
    and a build of their own, so that networks do not learn the usual ones by heart.
    """
    facts = draw_facts(seed, number)
    rng = generator(seed, number, "annotated regions")
    of_its_own = number % 3 != 1
    biology = facts.biology if number % 3 == 0 else _with_rare_findings(facts.biology, rng)
    if of_its_own:
        biology = replace(biology, til_per_mm2=float(np.exp(rng.uniform(np.log(10), np.log(_MOST_TIL_PER_MM2)))))
    look, build = (random_look(rng), random_build(rng)) if of_its_own else (usual_look(), USUAL)
    side = SLIDE_PX // MAP_PX
    # Folds, ink and parts out of focus are not read, so that there is nothing to learn from them.
    whole = draw_architecture(rng, biology, (side, side), artefacts=False, build=build)
    for centre_um in _centres_um(whole, rng):
        corner = tuple(int(np.clip(value / MAP_UM - _SIDE / 2, 0, side - _SIDE)) for value in centre_um)
        part = crop(whole, (corner[0], corner[1]), (_SIDE, _SIDE))
        yield _region(part, facts.stain, look, seed=int(rng.integers(2**31)), patient=f"{seed}-{number}")


def crop(architecture: Architecture, corner: tuple[int, int], shape: tuple[int, int]) -> Architecture:
    """Cut a part out of an architecture, in map pixels."""
    place = tuple(slice(start, start + side) for start, side in zip(corner, shape, strict=True))
    low, high = np.array(corner) * MAP_UM, (np.array(corner) + shape) * MAP_UM

    def inside(points_um: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(((points_um[:, :2] >= low) & (points_um[:, :2] < high)).all(axis=1))

    cells, buds, aggregates = (
        inside(points) for points in (architecture.cells_um, architecture.buds_um, architecture.aggregates_um)
    )
    return Architecture(
        labels=architecture.labels[place],
        lumens=architecture.lumens[place],
        cells_um=architecture.cells_um[cells] - low,
        kinds=architecture.kinds[cells],
        angles=architecture.angles[cells],
        buds_um=architecture.buds_um[buds] - low,
        bud_sizes=architecture.bud_sizes[buds],
        aggregates_um=architecture.aggregates_um[aggregates] - (*low, 0.0),
        folds=architecture.folds[place],
        pen=architecture.pen[place],
        blur=architecture.blur[place],
    )


def _with_rare_findings(biology: Biology, rng: np.random.Generator) -> Biology:
    return replace(
        biology,
        buds=int(rng.integers(10, 36)),
        til_per_mm2=float(np.exp(rng.uniform(np.log(10), np.log(150)))),
        aggregates=int(rng.integers(1, 6)),
        mucus_share=float(rng.uniform(0.05, 0.6)) if rng.random() < 0.5 else 0.0,
    )


def _centres_um(whole: Architecture, rng: np.random.Generator) -> list[tuple[float, float]]:
    present = np.unique(whole.labels)
    anywhere = [_place_in(whole.labels == rng.choice(present), rng) for _square in range(3)]
    if len(whole.buds_um):
        anywhere[0] = hot_spot(whole.buds_um)[1]
    if len(whole.aggregates_um):
        y, x, _ = whole.aggregates_um[whole.aggregates_um[:, 2].argmax()]
        anywhere[1] = (float(y), float(x))
    return anywhere


def _place_in(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    y, x = rng.choice(np.argwhere(mask)) * MAP_UM
    return float(y), float(x)


def _region(part: Architecture, stain: Stain, look: Look, *, seed: int, patient: str) -> Region:
    shape_px = tuple(side * MAP_PX for side in part.labels.shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.tif"
        write_slide(strips(part, stain, seed, look), (shape_px[0], shape_px[1]), PIXEL_UM, path)
        with Slide(path) as slide:
            pixels = slide.overview(INPUT_UM)
    coarser = round(LABEL_UM / MAP_UM)
    lymphocytes = part.cells_um[part.kinds == Cell.LYMPHOCYTE]
    kinds = np.repeat([CellKind.LYMPHOCYTE, CellKind.BUD], [len(lymphocytes), len(part.buds_um)])
    return Region(
        pixels=pixels,
        labels=np.ascontiguousarray(part.labels[::coarser, ::coarser]),
        points_um=np.concatenate([lymphocytes, part.buds_um]).astype(np.float32),
        kinds=kinds.astype(np.uint8),
        patient=patient,
    )
