"""Everything that is seen on a slide: its tissue, its tissue map and cells with the score card, and features of its tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError
from preop.grandchallenge.cases import Case
from preop.imaging import Image
from preop.likeness.slides import slide_measures
from preop.slides import (
    Encoder,
    PortableEncoder,
    Slide,
    TileFeatures,
    Tissue,
    assessable,
    check_assessable,
    find_tissue,
)
from preop.slides.tiling import UM_PER_MM, shares

from .appearance import appearance_of, unlike
from .limits import not_assessed
from .reading import SlideNetworks
from .score_card import DEFINITIONS, Item, ScoreCard, not_measured, score
from .tissue import TissueMap, measure, readable
from .weakly_supervised import describe

SLIDE = "primary-tumour-slide"
MASK = "tissue-mask"
MASK_PIXEL_MM = 0.016
"""A mask is read as finely as tissue is found: it may be stored at the slide's own resolution, which is not needed."""

_SAME_EXTENT = 0.02
_SAME_EXTENT_PIXELS = 2


@dataclass(frozen=True, eq=False)
class Examined:
    """What was seen on a slide.

    Attributes
    ----------
    tissue
        Tissue map.
    card
        Score card.
    tiles
        Features of the tiles.
    artefact_fraction
        Of the tissue under ink, folded or out of focus; 0 where a mask was given.
    likeness
        Measures by which the slide is compared with those of the training patients.
    background_fraction
        Of a mask that was given, on what looks like background; 0 where none was given.
    """

    tissue: TissueMap
    card: ScoreCard
    tiles: TileFeatures
    artefact_fraction: float
    likeness: Mapping[str, float]
    background_fraction: float = 0.0


def open_slide(case: Case) -> Slide:
    """Open the slide of a case, with the resolution that was given for a file that does not state one."""
    return case.open(SLIDE, partial(Slide, um_per_pixel=case.um_per_pixel))


def examine(
    slide: Slide,
    networks: SlideNetworks,
    encoder: Encoder | PortableEncoder,
    *,
    mask: Image | None = None,
    folder: Path | None = None,
    threads: int = 2,
) -> Examined:
    """Look at a slide.

    Parameters
    ----------
    mask
        Flat mask of the tissue to look at; found if not given.
    folder
        Where the tissue map of a slide without assessable tissue is written.
    threads
        As in :meth:`preop.slides.Slide.tiles`.

    Raises
    ------
    InvalidInputError
        If there is no tissue that can be assessed, the mask does not belong to the slide, or the slide is too coarse or
        damaged.
    """
    found = find_tissue(slide, threads=threads)
    if mask is None:
        check_assessable(found, slide.path.name, folder=folder)
        to_describe, to_read, artefacts, background = assessable(found), readable(found), _artefact_fraction(found), 0.0
    else:
        _check_extent(mask, slide)
        to_describe, to_read, artefacts, background = mask, mask, 0.0, _background_fraction(mask, found)
    # The quicker one goes first: without a tile it says so at once.
    tiles = describe(slide, to_describe, encoder, threads=threads)
    tissue, cells = measure(slide, to_read, networks)
    card = score(tissue, cells, unreliable=_not_assessed(slide, to_read, networks, threads=threads))
    likeness = slide_measures(slide, to_describe, threads=threads)
    return Examined(tissue, card, tiles, artefacts, likeness, background)


def score_slide(slide: Slide, networks: SlideNetworks, *, mask: Image | None = None, threads: int = 2) -> ScoreCard:
    """Score a slide as :func:`examine` does, without its tiles."""
    if mask is not None:
        _check_extent(mask, slide)
    to_read = readable(find_tissue(slide, threads=threads)) if mask is None else mask
    tissue, cells = measure(slide, to_read, networks)
    return score(tissue, cells, unreliable=_not_assessed(slide, to_read, networks, threads=threads))


def _not_assessed(slide: Slide, to_read: Image, networks: SlideNetworks, *, threads: int) -> dict[str, str]:
    """Items that are not assessed because of what the networks can do on such a slide."""
    appearance = appearance_of(slide, to_read, threads=threads)
    return not_assessed(networks.info, unlike(appearance, networks.info.validated_appearance))


def card_of_patient(cards: Sequence[ScoreCard]) -> ScoreCard:
    """Put the cards of several slides together: each item as on the slide where its value is largest.

    So buds are counted where they are most (ITBCC 2016), and an aggregate on any slide is one. An item is not assessed
    where it is on none of the slides.
    """
    found = tuple(max((card.item(name) for card in cards), key=_value) for name in DEFINITIONS)
    return ScoreCard(items=(*found, *not_measured()))


def _value(item: Item) -> float:
    return -np.inf if item.value is None else item.value


def _artefact_fraction(tissue: Image) -> float:
    counts = np.bincount(tissue.voxels.ravel(), minlength=len(Tissue))
    artefacts = counts[[Tissue.PEN, Tissue.FOLD, Tissue.BLUR]].sum()
    return float(artefacts / max(artefacts + counts[Tissue.TISSUE], 1))


def _background_fraction(mask: Image, found: Image) -> float:
    """Share of a mask on what was taken for background."""
    height, width = found.shape
    covered = shares(mask, found.spacing_mm[0] * UM_PER_MM, (height, width))
    return float(covered[found.voxels == Tissue.BACKGROUND].sum() / covered.sum())


def _check_extent(mask: Image, slide: Slide) -> None:
    """Refuse the mask of another slide, or of a part of this one."""
    for side, pixels, spacing_mm, size_um in zip(
        ("high", "wide"), mask.shape, mask.spacing_mm, slide.size_um, strict=True
    ):
        size_mm, mask_mm = size_um / UM_PER_MM, pixels * spacing_mm
        if abs(mask_mm - size_mm) > max(_SAME_EXTENT * size_mm, _SAME_EXTENT_PIXELS * spacing_mm):
            raise InvalidInputError(
                f"The {MASK} is {mask_mm:.2f} mm {side} and the slide {size_mm:.2f} mm; expected a mask of the whole slide: is it "
                "that of another slide, or does it state another resolution?"
            )
