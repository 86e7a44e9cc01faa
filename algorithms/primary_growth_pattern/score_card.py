"""The score card: what pathologists score on the slide of a primary colorectal tumour, measured on tissue map and cells.

Every item has a value, a cut-off with its source (``DEFINITIONS``), the regions it rests on, and whether it is unfavourable;
or it says why it was not assessed. Missing values are not imputed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.errors import InvalidInputError
from preop.slides.tiling import UM_PER_MM
from preop.toml import first_validation_error

from .definitions import (
    HOT_SPOT_RADIUS_UM,
    LARGE_AGGREGATE_MM,
    STROMA,
    UM2_PER_MM2,
    CellKind,
    Maturity,
    TissueLabel,
    hot_spot,
)
from .findings import Cells, TissueMap
from .tumour_bed import MIN_BED_MM2, TumourBed, find_bed, in_blocks

Direction = Literal["above", "from", "below"]

# Buds are counted within a field's width of the front; aggregates a little further out; lymphocytes in a band along it.
FRONT_ZONE_UM = 2 * HOT_SPOT_RADIUS_UM
AGGREGATE_ZONE_UM = 2000.0
REACTION_ZONE_UM = 500.0
MIN_AGGREGATE_UM = 120.0
MIN_STROMA_MM2 = MIN_COUNTED_MM2 = 0.05
HOT_SPOT_MM2 = math.pi * HOT_SPOT_RADIUS_UM**2 / UM2_PER_MM2
# Where an aggregate ends on the map is uncertain by some cells, of which it has a thousand times as many as the stroma; and the
# debris of necrosis looks like lymphocytes.
_RIM_UM = 32.0
_AGGREGATE_OPENING_UM = 16.0  # parts connected by less than this are two
_MIN_IMMATURE_SHARE = 0.2
_GLAND_REACH_UM = 60.0  # from a lumen to the outer edge of its gland: two or three rows of cells, cut slantwise
_MIN_GLANDULAR_SHARE = 0.5


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Circle(_Checked):
    """A round region of the slide."""

    shape: Literal["circle"] = "circle"
    y_um: float
    x_um: float
    radius_um: float


class Polygon(_Checked):
    """An outlined region of the slide; the last vertex is joined to the first."""

    shape: Literal["polygon"] = "polygon"
    points_um: tuple[tuple[float, float], ...] = Field(description="vertices, y and x")


Shape = Circle | Polygon


@dataclass(frozen=True)
class Definition:
    """What an item is.

    Attributes
    ----------
    title, unit
        As a reader sees them.
    cut_off, direction
        The item is unfavourable above it, from it on, or below it; None where no direction is established.
    rule
        The cut-off in words.
    source
        Of definition and cut-off.
    """

    title: str
    unit: str
    cut_off: float | None
    direction: Direction | None
    rule: str
    source: str

    def is_unfavourable(self, value: float) -> bool | None:
        """Say on which side of the cut-off a value lies; None where no direction is established."""
        if self.cut_off is None or self.direction is None:
            return None
        return {"above": value > self.cut_off, "from": value >= self.cut_off, "below": value < self.cut_off}[
            self.direction
        ]


_HGP_STUDY = "doi 10.1186/s12885-022-09994-3"
DEFINITIONS: Mapping[str, Definition] = {
    "tumour_stroma_ratio": Definition(
        "Tumour-stroma ratio",
        "share of stroma",
        0.5,
        "above",
        "stroma-high above 50 % of stroma and tumour, over the whole bed",
        "van Pelt 2018, Virchows Arch 473:405",
    ),
    "budding": Definition(
        "Tumour budding",
        "buds in 0.785 mm2",
        10,
        "from",
        "Bd1 0 to 4, Bd2 5 to 9, Bd3 10 or more buds in the hot spot at the front",
        "ITBCC 2016: Lugli 2017, Mod Pathol 30:1299",
    ),
    "lymphocytes": Definition(
        "Tumour-infiltrating lymphocytes",
        "per mm2",
        17,
        "below",
        "few below 17 per mm2 of tumour and stroma; next to lymphoid aggregates and necrosis none are counted",
        _HGP_STUDY,
    ),
    "crohn_like": Definition(
        "Crohn's-like reaction",
        "aggregates",
        1,
        "below",
        "absent without lymphoid aggregates at the front; large from 1 mm",
        f"{_HGP_STUDY}; Ueno 2013, Am J Surg Pathol 37:1",
    ),
    "stroma_maturity": Definition(
        "Stroma maturity",
        "share not mature",
        _MIN_IMMATURE_SHARE,
        "from",
        "immature where 20 % of the stroma or more are, intermediate where 20 % are either, else mature",
        "Ueno 2004, Gut 53:581; the share was set on simulated slides",
    ),
    "mucinous_share": Definition(
        "Mucinous share",
        "share of tumour bed",
        0.5,
        None,
        "mucinous carcinoma above 50 %; which side is unfavourable for the growth pattern is not settled",
        "WHO classification of tumours, 2019",
    ),
    "necrosis": Definition(
        "Necrosis", "share of tumour bed", None, None, "no cut-off is established for the growth pattern", _HGP_STUDY
    ),
    "gland_formation": Definition(
        "Gland formation",
        "share of tumour",
        _MIN_GLANDULAR_SHARE,
        None,
        "low grade from 50 % of the tumour in glands on, else high grade; which is unfavourable for the growth pattern is not "
        "settled",
        "WHO classification of tumours, 2019; the reach of a gland, 60 micrometres from its lumen, was set on simulated slides",
    ),
    "front_lymphocytes": Definition(
        "Lymphoid reaction at the front",
        "lymphocytes per mm2",
        None,
        None,
        "within 0.5 mm of the front, on either side; a count has no established cut-off, it is graded by eye",
        "Klintrup 2005, Eur J Cancer 41:2645",
    ),
    "margin": Definition(
        "Margin",
        "micrometres of roughness",
        15.0,
        "from",
        "infiltrating where the front lies 15 micrometres or more, on average, from its smoothed course; else pushing",
        "Jass 1987, Lancet 1:1303; the number was set on simulated slides",
    ),
}


@dataclass(frozen=True)
class NotMeasured:
    """What pathologists look for on a slide, and no network here finds.

    Attributes
    ----------
    title, rule, source
        As of a :class:`Definition`.
    reason
        Why it is not assessed.
    """

    title: str
    rule: str
    source: str
    reason: str


NOT_MEASURED: Mapping[str, NotMeasured] = {
    "clusters_on_the_slide": NotMeasured(
        "Poorly differentiated clusters",
        "groups of five or more tumour cells without a lumen, in the field with most of them",
        "Ueno 2012, Am J Surg Pathol 36:193",
        "the networks find groups of up to four tumour cells and tissues, and were taught to pass over larger groups",
    ),
    "nerves_on_the_slide": NotMeasured(
        "Perineural invasion on the slide",
        "tumour along or around a nerve",
        "Liebig 2009, Cancer 115:3379",
        "the networks know no nerves; what the pathology report says is an item of its own",
    ),
    "vessels_on_the_slide": NotMeasured(
        "Vascular invasion on the slide",
        "tumour in a vein, or in a lymphatic or small vessel",
        "WHO classification of tumours, 2019",
        "the networks know no vessels; what the pathology report says is an item of its own",
    ),
}
"""Shown on every card as not assessed, so that nobody takes what is missing for absent."""


class Item(_Checked):
    """One item of a card."""

    name: str
    title: str
    value: float | None = Field(description="None where it was not assessed")
    unit: str
    category: str | None = Field(description="grade or class that the value stands for")
    cut_off: float | None
    rule: str
    source: str
    unfavourable: bool | None = Field(description="None where it was not assessed, or no direction is established")
    not_assessed: str | None = Field(description="why there is no value")
    measures: dict[str, float] = Field(description="what the value was made of")
    regions: tuple[Shape, ...] = Field(description="on which it rests")

    @property
    def assessed(self) -> bool:
        """Whether there is a value."""
        return self.not_assessed is None


class ScoreCard(_Checked):
    """The items of a slide, in the order of ``DEFINITIONS``; ``NOT_MEASURED``; and those of the pathology report, if there is one."""

    format: Literal[1] = 1
    items: tuple[Item, ...]

    def item(self, name: str) -> Item:
        """Give the item of a name."""
        return next(item for item in self.items if item.name == name)

    def finding(self, name: str) -> bool | None:
        """Whether an item is unfavourable; None where it was not assessed, has no direction, or is not on the card."""
        return next((item.unfavourable for item in self.items if item.name == name), None)

    @property
    def of_the_slide(self) -> tuple[Item, ...]:
        """Items that are measured on the slide."""
        return tuple(item for item in self.items if item.name in DEFINITIONS)

    @property
    def unfavourable(self) -> tuple[str, ...]:
        """Names of the unfavourable items."""
        return tuple(item.name for item in self.items if item.unfavourable)

    def to_json(self) -> dict[str, Any]:
        """Give the card as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Make the card from what :meth:`to_json` gave.

        Raises
        ------
        InvalidInputError
            If it is no score card.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise InvalidInputError(f"This is no score card: {first_validation_error(error)}.") from None

    def chart_rows(self) -> list[dict[str, str | float | bool | None]]:
        """One row an item for a chart.

        ``by_cut_off`` is the value divided by the cut-off, so that items of all units share an axis on which 1 is the
        cut-off; None where there is no value or none to divide by.
        """
        return [
            {
                "item": item.title,
                "value": item.value,
                "unit": item.unit,
                "category": item.category,
                "by_cut_off": item.value / item.cut_off if item.value is not None and item.cut_off else None,
                "unfavourable": item.unfavourable,
                "not_assessed": item.not_assessed,
            }
            for item in self.items
        ]


@dataclass(frozen=True)
class Finding:
    """What was measured for an item."""

    value: float
    category: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    regions: tuple[Shape, ...] = ()


class NotAssessable(Exception):  # noqa: N818 - a finding, not an error
    """Why an item cannot be measured on a slide."""


def score(tissue: TissueMap, cells: Cells, *, unreliable: Mapping[str, str] | None = None) -> ScoreCard:
    """Score a slide.

    Parameters
    ----------
    unreliable
        Items that the networks do not measure reliably, and why: they are not assessed.

    Raises
    ------
    InvalidInputError
        If an unreliable item does not exist.
    """
    unreliable = unreliable or {}
    if unknown := set(unreliable) - set(DEFINITIONS):
        raise InvalidInputError(
            f"There is no item {min(unknown)!r} on the score card; expected some of {', '.join(DEFINITIONS)}."
        )
    evidence = Evidence(tissue, cells)
    return ScoreCard(items=(*(_item(name, evidence, unreliable.get(name)) for name in DEFINITIONS), *not_measured()))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the items are measured on: the tissue map and the cells of a slide, and the tumour's bed on that map."""

    tissue: TissueMap
    cells: Cells

    @cached_property
    def bed(self) -> TumourBed:
        """Bed of the tumour, without which nothing can be assessed."""
        found = find_bed(self.tissue)
        if found is None:
            raise NotAssessable(f"there is less than {MIN_BED_MM2:g} mm2 of tumour on the slide")
        return found

    @property
    def bed_with_front(self) -> TumourBed:
        """Bed of which the slide shows the invasive front."""
        if not self.bed.has_front:
            raise NotAssessable("the slide shows no invasive front, where tumour meets muscle or fat")
        return self.bed

    def areas_mm2(self) -> NDArray[np.float64]:
        """Area of each label in the bed."""
        inside = self.tissue.labels[self.bed.on_map(self.tissue)]
        return np.asarray(np.bincount(inside, minlength=len(TissueLabel)) * self.tissue.um_per_pixel**2 / UM2_PER_MM2)

    def seen_at_front_mm2(self) -> float:
        """Area within a millimetre of the front that is neither glass nor left out."""
        near = self.bed_with_front.to_front_um <= FRONT_ZONE_UM
        seen = 1 - in_blocks(self.tissue, TissueLabel.BACKGROUND)[near]
        return float(seen.sum() * self.bed.block_um**2 / UM2_PER_MM2)


def tumour_stroma_ratio(evidence: Evidence) -> Finding:
    """Stroma as a share of tumour and stroma in the bed; mucus, necrosis, muscle and fat count for neither."""
    area = evidence.areas_mm2()
    tumour, stroma = float(area[TissueLabel.TUMOUR]), float(area[list(STROMA.values())].sum())
    value = stroma / (tumour + stroma)
    return Finding(
        value,
        "stroma-high" if value > 0.5 else "stroma-low",
        {"tumour_mm2": tumour, "stroma_mm2": stroma},
        _outlined(evidence.bed),
    )


def budding(evidence: Evidence) -> Finding:
    """Most tumour buds in a disc of 0.785 mm2 within a millimetre of the front."""
    bed = evidence.bed_with_front
    seen_mm2 = evidence.seen_at_front_mm2()
    if seen_mm2 < HOT_SPOT_MM2:
        raise NotAssessable(f"the slide shows {seen_mm2:.2f} mm2 at the front; the hot spot has {HOT_SPOT_MM2:.3f} mm2")
    buds_um = evidence.cells.of(CellKind.BUD)
    at_front = buds_um[bed.front_distance_um(buds_um) <= FRONT_ZONE_UM]
    count, (y_um, x_um) = hot_spot(at_front)
    spot = (Circle(y_um=round(y_um, 1), x_um=round(x_um, 1), radius_um=HOT_SPOT_RADIUS_UM),) if count else ()
    grade = 1 + (count >= 5) + (count >= 10)
    return Finding(float(count), f"Bd{grade}", {"grade": grade, "buds_at_front": len(at_front)}, spot)


def lymphocytes(evidence: Evidence) -> Finding:
    """Lymphocytes by the area of tumour and stroma, apart from what lies next to lymphoid aggregates and necrosis."""
    tissue, bed = evidence.tissue, evidence.bed
    counted = np.isin(tissue.labels, [TissueLabel.TUMOUR, *STROMA.values()]) & bed.on_map(tissue)
    found, area = _lymphocytes_in(evidence, counted, "tumour and stroma")
    value = float(found.sum() / area.sum())
    tumour = TissueLabel.TUMOUR
    in_tumour = {"in_tumour_per_mm2": float(found[tumour] / area[tumour])} if area[tumour] else {}
    category = "few" if DEFINITIONS["lymphocytes"].is_unfavourable(value) else "many"
    measures = {"count": int(found.sum()), "area_mm2": float(area.sum()), **in_tumour}
    return Finding(value, category, measures, _outlined(bed))


def front_lymphocytes(evidence: Evidence) -> Finding:
    """Lymphocytes by area in a band along the front, apart from what lies next to lymphoid aggregates and necrosis."""
    tissue, bed = evidence.tissue, evidence.bed_with_front
    band = bed.to_front_um <= REACTION_ZONE_UM
    within = [TissueLabel.TUMOUR, *STROMA.values(), TissueLabel.MUSCLE, TissueLabel.FAT]
    counted = np.isin(tissue.labels, within) & bed.on_map(tissue, band)
    found, area = _lymphocytes_in(evidence, counted, "tissue at the front")
    measures = {"count": int(found.sum()), "area_mm2": float(area.sum())}
    return Finding(float(found.sum() / area.sum()), None, measures, tuple(map(_polygon, bed.outlines_um(band))))


def _lymphocytes_in(
    evidence: Evidence, counted: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Count lymphocytes and measure mm2 by label in a mask on the map, without the surroundings of lymphoid aggregates and necrosis."""
    from scipy import ndimage

    tissue = evidence.tissue
    rim_px = max(1, round(_RIM_UM / tissue.um_per_pixel))
    misleading = np.isin(tissue.labels, [TissueLabel.LYMPHOID, TissueLabel.NECROSIS])
    clean = counted & ~ndimage.binary_dilation(misleading, iterations=rim_px)
    labels = np.where(clean, tissue.labels, TissueLabel.BACKGROUND).astype(np.uint8)
    at_cells = TissueMap(labels, tissue.um_per_pixel, tissue.origin_um).at(evidence.cells.of(CellKind.LYMPHOCYTE))
    found, pixels = (np.bincount(values.ravel(), minlength=len(TissueLabel)) for values in (at_cells, labels))
    found[TissueLabel.BACKGROUND] = pixels[TissueLabel.BACKGROUND] = 0
    area = np.asarray(pixels * tissue.um_per_pixel**2 / UM2_PER_MM2, np.float64)
    if area.sum() < MIN_COUNTED_MM2:
        raise NotAssessable(f"there are {area.sum():.2f} mm2 of {where} to count in; {MIN_COUNTED_MM2:g} are needed")
    return found, area


def crohn_like(evidence: Evidence) -> Finding:
    """Lymphoid aggregates of 0.12 mm or more at the front, outside the bed and up to 2 mm from its edge."""
    from scipy import ndimage

    tissue, bed = evidence.tissue, evidence.bed_with_front
    opening_px = max(1, round(_AGGREGATE_OPENING_UM / tissue.um_per_pixel))
    opened = ndimage.binary_opening(tissue.labels == TissueLabel.LYMPHOID, iterations=opening_px)
    parts, count = ndimage.label(opened)
    places_px = np.argwhere(parts)
    number = parts[tuple(places_px.T)] - 1
    pixels = np.bincount(number, minlength=count)
    diameters_um = 2 * tissue.um_per_pixel * np.sqrt(pixels / np.pi)
    sums = [np.bincount(number, weights=place, minlength=count) for place in places_px.T]
    centres_um = (np.stack(sums, axis=1) / pixels[:, None] + 0.5) * tissue.um_per_pixel + tissue.origin_um
    near = bed.front_distance_um(centres_um) <= AGGREGATE_ZONE_UM
    kept = near & (diameters_um >= MIN_AGGREGATE_UM) & ~bed.covers(centres_um)
    large = int((diameters_um[kept] >= LARGE_AGGREGATE_MM * UM_PER_MM).sum())
    circles = tuple(
        Circle(y_um=round(y, 1), x_um=round(x, 1), radius_um=round(diameter / 2, 1))
        for (y, x), diameter in zip(centres_um[kept].tolist(), diameters_um[kept].tolist(), strict=True)
    )
    category = "large" if large else "present" if circles else "absent"
    return Finding(float(len(circles)), category, {"large_aggregates": large}, circles)


def stroma_maturity(evidence: Evidence) -> Finding:
    """Share of the stroma that is intermediate or immature; immature where that alone is 20 %."""
    area = evidence.areas_mm2()
    stroma_mm2 = float(area[list(STROMA.values())].sum())
    if stroma_mm2 < MIN_STROMA_MM2:
        raise NotAssessable(f"the tumour has {stroma_mm2:.2f} mm2 of stroma; {MIN_STROMA_MM2:g} are needed")
    shares = {name: float(area[label] / stroma_mm2) for name, label in STROMA.items()}
    value = shares["immature"] + shares["intermediate"]
    if shares["immature"] >= _MIN_IMMATURE_SHARE:
        category: Maturity = "immature"
    else:
        category = "intermediate" if value >= _MIN_IMMATURE_SHARE else "mature"
    regions = _outlines_of(evidence, STROMA[category]) if category != "mature" else ()
    return Finding(value, category, {f"{name}_share": share for name, share in shares.items()}, regions)


def mucinous_share(evidence: Evidence) -> Finding:
    """Mucus as a share of tumour, stroma, mucus and necrosis."""
    value = _share_of_bed(evidence, TissueLabel.MUCUS)
    return Finding(
        value, "mucinous" if value > 0.5 else "not mucinous", regions=_outlines_of(evidence, TissueLabel.MUCUS)
    )


def necrosis(evidence: Evidence) -> Finding:
    """Necrosis as a share of tumour, stroma, mucus and necrosis."""
    return Finding(_share_of_bed(evidence, TissueLabel.NECROSIS), regions=_outlines_of(evidence, TissueLabel.NECROSIS))


def gland_formation(evidence: Evidence) -> Finding:
    """Share of the tumour that lies within reach of the lumen of a gland, the lumens themselves counted in."""
    from scipy import ndimage

    tissue, bed = evidence.tissue, evidence.bed
    if tissue.clear is None:
        raise NotAssessable("the tissue map does not say where glands are hollow")
    in_bed, epithelium = bed.on_map(tissue), tissue.labels == TissueLabel.TUMOUR
    # A wide lumen is taken for glass; so is some mucus, but tumour is not all around it.
    hollow = ndimage.binary_fill_holes(epithelium) & (tissue.labels == TissueLabel.BACKGROUND)
    lumens = tissue.clear & in_bed & (epithelium | hollow)
    tumour = in_bed & epithelium | lumens
    area_mm2 = float(tumour.sum() * tissue.um_per_pixel**2 / UM2_PER_MM2)
    if area_mm2 < MIN_COUNTED_MM2:
        raise NotAssessable(f"there are {area_mm2:.2f} mm2 of tumour; {MIN_COUNTED_MM2:g} are needed")
    reach_px = _GLAND_REACH_UM / tissue.um_per_pixel
    glands = ndimage.distance_transform_edt(~lumens) <= reach_px if lumens.any() else lumens
    value = float(glands[tumour].mean())
    category = "low grade" if value >= _MIN_GLANDULAR_SHARE else "high grade"
    return Finding(value, category, {"lumen_share": float(lumens.sum() / tumour.sum())}, _outlined(bed))


def margin(evidence: Evidence) -> Finding:
    """Roughness of the front: its mean distance from the same front, smoothed over 0.15 mm."""
    bed = evidence.bed_with_front
    if math.isnan(bed.roughness_um):
        raise NotAssessable("the tumour's front is too short to tell how rough it is")
    category = "infiltrating" if DEFINITIONS["margin"].is_unfavourable(bed.roughness_um) else "pushing"
    return Finding(bed.roughness_um, category, regions=_outlined(bed))


_MEASURES: Mapping[str, Callable[[Evidence], Finding]] = {
    "tumour_stroma_ratio": tumour_stroma_ratio,
    "budding": budding,
    "lymphocytes": lymphocytes,
    "crohn_like": crohn_like,
    "stroma_maturity": stroma_maturity,
    "mucinous_share": mucinous_share,
    "necrosis": necrosis,
    "gland_formation": gland_formation,
    "front_lymphocytes": front_lymphocytes,
    "margin": margin,
}


def _item(name: str, evidence: Evidence, unreliable: str | None) -> Item:
    definition = DEFINITIONS[name]
    finding, reason = None, unreliable
    if reason is None:
        try:
            finding = _MEASURES[name](evidence)
        except NotAssessable as found:
            reason = str(found)
    return Item(
        name=name,
        title=definition.title,
        value=None if finding is None else round(finding.value, 4),
        unit=definition.unit,
        category=None if finding is None else finding.category,
        cut_off=definition.cut_off,
        rule=definition.rule,
        source=definition.source,
        unfavourable=None if finding is None else definition.is_unfavourable(finding.value),
        not_assessed=reason,
        measures={} if finding is None else {key: round(value, 4) for key, value in finding.measures.items()},
        regions=() if finding is None else finding.regions,
    )


def not_measured() -> tuple[Item, ...]:
    """Items of ``NOT_MEASURED``, as every card shows them."""
    return tuple(
        Item(
            name=name,
            title=each.title,
            value=None,
            unit="",
            category=None,
            cut_off=None,
            rule=each.rule,
            source=each.source,
            unfavourable=None,
            not_assessed=each.reason,
            measures={},
            regions=(),
        )
        for name, each in NOT_MEASURED.items()
    )


def _share_of_bed(evidence: Evidence, label: TissueLabel) -> float:
    area = evidence.areas_mm2()
    bed = [TissueLabel.TUMOUR, *STROMA.values(), TissueLabel.MUCUS, TissueLabel.NECROSIS]
    return float(area[label] / area[bed].sum())


def _outlined(bed: TumourBed) -> tuple[Polygon, ...]:
    return tuple(_polygon(line) for line in bed.outlines_um())


def _outlines_of(evidence: Evidence, label: TissueLabel) -> tuple[Polygon, ...]:
    """Outline the largest parts of the bed that are mostly of one tissue."""
    bed = evidence.bed
    return tuple(_polygon(line) for line in bed.outlines_um(bed.mask & (in_blocks(evidence.tissue, label) >= 0.5)))


def _polygon(line: NDArray[np.float64]) -> Polygon:
    return Polygon(points_um=tuple((y, x) for y, x in line.round(1).tolist()))
