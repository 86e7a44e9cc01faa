import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from primary_growth_pattern.definitions import CellKind, TissueLabel
from primary_growth_pattern.findings import Cells, TissueMap
from primary_growth_pattern.score_card import DEFINITIONS, NOT_MEASURED, Circle, Item, Polygon, ScoreCard, score
from primary_growth_pattern.tumour_bed import find_bed, outlines

UM = 8.0
T = TissueLabel
Points = Sequence[tuple[float, float]]


def mm(value: float) -> int:
    return round(value * 1000 / UM)


def section() -> NDArray[np.uint8]:
    """Section of 6 x 6 mm: 2 mm of tumour bed, of which the left half is tumour and the right half stroma, on muscle."""
    labels = np.full((mm(6), mm(6)), T.MUSCLE, np.uint8)
    labels[: mm(2), : mm(3)] = T.TUMOUR
    labels[: mm(2), mm(3) :] = T.MATURE_STROMA
    return labels


def cells(*, lymphocytes: Points = (), buds: Points = ()) -> Cells:
    points = np.array([*lymphocytes, *buds], np.float32).reshape(-1, 2)
    kinds = np.repeat([CellKind.LYMPHOCYTE, CellKind.BUD], [len(lymphocytes), len(buds)]).astype(np.uint8)
    return Cells(points, kinds, np.ones(len(points), np.float32))


def item(name: str, labels: NDArray[np.uint8], found: Cells | None = None) -> Item:
    return score(TissueMap(labels, UM), found or cells()).item(name)


def add_disc(labels: NDArray[np.uint8], centre_mm: tuple[float, float], diameter_mm: float, label: TissueLabel) -> None:
    y, x = (np.arange(side) * UM / 1000 for side in labels.shape)
    labels[np.hypot(y[:, None] - centre_mm[0], x - centre_mm[1]) < diameter_mm / 2] = label


def in_a_row(count: int, y_um: float, x_um: float = 3000, step_um: float = 30) -> Points:
    return [(y_um, x_um + step_um * number) for number in range(count)]


def test_stroma_is_counted_by_stroma_and_tumour() -> None:
    labels = section()
    labels[: mm(2), : mm(2)] = T.TUMOUR
    labels[: mm(2), mm(2) :] = T.IMMATURE_STROMA
    found = item("tumour_stroma_ratio", labels)
    assert found.value == pytest.approx(2 / 3, abs=0.01)
    assert found.category == "stroma-high"
    assert found.unfavourable
    assert found.measures["tumour_mm2"] == pytest.approx(4, abs=0.05)


def test_mucus_necrosis_and_muscle_change_no_tumour_stroma_ratio() -> None:
    labels = section()
    add_disc(labels, (1, 1.5), 0.8, T.MUCUS)
    add_disc(labels, (1, 2.5), 0.4, T.NECROSIS)
    add_disc(labels, (1, 4.5), 0.9, T.MUSCLE)
    tumour, stroma = (labels == T.TUMOUR).sum(), (labels == T.MATURE_STROMA).sum()
    assert item("tumour_stroma_ratio", labels).value == pytest.approx(stroma / (tumour + stroma), abs=1e-4)


def test_stroma_without_tumour_is_no_part_of_the_bed() -> None:
    labels = section()
    labels[mm(4) :, :] = T.MATURE_STROMA
    assert item("tumour_stroma_ratio", labels).value == pytest.approx(0.5, abs=0.01)


def test_a_fold_does_not_part_stroma_from_its_tumour() -> None:
    labels = section()
    labels[: mm(2), mm(3) : mm(3.25)] = T.BACKGROUND  # left out
    assert item("tumour_stroma_ratio", labels).value == pytest.approx(2.75 / 5.75, abs=0.01)


def test_a_front_is_no_rougher_for_a_fold_across_it() -> None:
    labels = section()
    labels[:, mm(3) : mm(3.25)] = T.BACKGROUND
    assert item("margin", labels).value == pytest.approx(0, abs=2)


@pytest.mark.parametrize(("count", "grade"), [(0, "Bd1"), (4, "Bd1"), (5, "Bd2"), (9, "Bd2"), (10, "Bd3"), (25, "Bd3")])
def test_budding_has_the_grades_of_itbcc(count: int, grade: str) -> None:
    found = item("budding", section(), cells(buds=in_a_row(count, 1900)))
    assert (found.value, found.category, found.unfavourable) == (count, grade, count >= 10)


def test_buds_count_in_one_field_only() -> None:
    apart = [*in_a_row(6, 1900, 1000), *in_a_row(4, 1900, 4000)]
    found = item("budding", section(), cells(buds=apart))
    assert found.value == 6
    (circle,) = found.regions
    assert isinstance(circle, Circle)
    assert circle.radius_um == 500  # 0.785 mm2
    assert np.hypot(circle.y_um - 1900, circle.x_um - 1075) < 500
    assert found.measures["buds_at_front"] == 10


def test_buds_far_from_the_front_do_not_count() -> None:
    assert item("budding", section(), cells(buds=[*in_a_row(3, 1900), *in_a_row(9, 500)])).value == 3


def test_less_of_the_front_than_a_field_has_no_grade() -> None:
    labels = np.zeros((mm(3), mm(3)), np.uint8)
    labels[mm(1) : mm(1.4), mm(1) : mm(1.6)] = T.TUMOUR
    labels[mm(1.4) : mm(1.6), mm(1) : mm(1.6)] = T.MUSCLE
    found = item("budding", labels, cells(buds=in_a_row(3, 1350, 1200)))
    assert found.value is None
    assert "0.36 mm2 at the front; the hot spot has 0.785 mm2" in str(found.not_assessed)


def test_lymphocytes_count_by_the_area_of_tumour_and_stroma() -> None:
    inside = [(50.0 + 100 * row, 50.0 + 100 * column) for row in range(20) for column in range(12)]
    in_muscle = in_a_row(50, 4000)
    found = item("lymphocytes", section(), cells(lymphocytes=[*inside, *in_muscle]))
    assert found.value == pytest.approx(240 / 12, rel=0.01)
    assert found.category == "many"
    assert found.unfavourable is False
    assert found.measures["in_tumour_per_mm2"] == pytest.approx(240 / 6, rel=0.01)


def test_few_lymphocytes_are_unfavourable() -> None:
    few = item("lymphocytes", section(), cells(lymphocytes=in_a_row(36, 1000)))
    assert few.value == pytest.approx(3, rel=0.01)
    assert few.unfavourable


def test_lymphocytes_of_an_aggregate_and_of_its_rim_do_not_count() -> None:
    labels = section()
    add_disc(labels, (1, 4.5), 0.5, T.LYMPHOID)
    in_aggregate, on_rim = in_a_row(40, 1000, 4300, 5), in_a_row(5, 1000, 4760, 2)
    assert item("lymphocytes", labels, cells(lymphocytes=[*in_aggregate, *on_rim])).value == 0


def test_lymphoid_aggregates_beyond_the_front_count() -> None:
    labels = section()
    for centre, diameter in (((2.6, 1), 0.3), ((2.8, 2.5), 0.5), ((3.0, 4.5), 1.1)):
        add_disc(labels, centre, diameter, T.LYMPHOID)
    found = item("crohn_like", labels)
    assert (found.value, found.category, found.unfavourable) == (3, "large", False)
    assert found.measures["large_aggregates"] == 1
    largest = max(found.regions, key=lambda circle: circle.radius_um)
    assert (largest.y_um, largest.x_um, largest.radius_um) == pytest.approx((3000, 4500, 550), abs=10)


@pytest.mark.parametrize(
    ("centre_mm", "diameter_mm"),
    [((2.6, 3), 0.08), ((1, 4.5), 0.4), ((5, 3), 0.4)],
    ids=["speck", "in bed", "far away"],
)
def test_other_lymphocytes_are_no_aggregate_at_the_front(centre_mm: tuple[float, float], diameter_mm: float) -> None:
    labels = section()
    add_disc(labels, centre_mm, diameter_mm, T.LYMPHOID)
    found = item("crohn_like", labels)
    assert (found.value, found.category, found.unfavourable) == (0, "absent", True)


@pytest.mark.parametrize(
    ("intermediate", "immature", "category"),
    [
        (0.0, 0.0, "mature"),
        (0.15, 0.0, "mature"),
        (0.3, 0.1, "intermediate"),
        (0.1, 0.3, "immature"),
        (0, 1, "immature"),
    ],
)
def test_stroma_is_as_mature_as_its_least_mature_fifth(intermediate: float, immature: float, category: str) -> None:
    labels = section()
    rows = [mm(2 * share) for share in (intermediate, intermediate + immature)]
    labels[: rows[0], mm(3) :] = T.INTERMEDIATE_STROMA
    labels[rows[0] : rows[1], mm(3) :] = T.IMMATURE_STROMA
    found = item("stroma_maturity", labels)
    assert found.category == category
    assert found.value == pytest.approx(intermediate + immature, abs=0.01)
    assert found.unfavourable == (category != "mature")
    assert bool(found.regions) == (category != "mature")


def test_stroma_that_is_hardly_there_has_no_maturity() -> None:
    labels = section()
    labels[: mm(2)] = T.TUMOUR
    found = item("stroma_maturity", labels)
    assert found.value is None
    assert "0.00 mm2 of stroma" in str(found.not_assessed)


def test_mucus_and_necrosis_have_their_share_of_the_bed_and_no_direction() -> None:
    labels = section()
    labels[: mm(2), : mm(4)] = T.MUCUS
    labels[: mm(2), mm(4) : mm(4.6)] = T.NECROSIS
    labels[: mm(2), mm(4.6) : mm(5.4)] = T.TUMOUR
    mucus, necrosis = item("mucinous_share", labels), item("necrosis", labels)
    assert (mucus.value, necrosis.value) == pytest.approx((4 / 6, 0.6 / 6), abs=0.01)
    assert mucus.category == "mucinous"
    assert mucus.unfavourable is None
    assert necrosis.unfavourable is None


def test_a_straight_front_pushes_and_one_with_tongues_infiltrates() -> None:
    straight, tongues = section(), section()
    for number in range(10):
        tongues[mm(2) : mm(2.3), mm(0.6 * number) : mm(0.6 * number + 0.25)] = T.TUMOUR
    pushing, infiltrating = item("margin", straight), item("margin", tongues)
    assert (pushing.category, pushing.unfavourable) == ("pushing", False)
    assert (infiltrating.category, infiltrating.unfavourable) == ("infiltrating", True)


def test_nothing_is_assessed_without_tumour() -> None:
    card = score(TissueMap(np.full((100, 100), T.MUSCLE, np.uint8), UM), cells(buds=[(100, 100)]))
    assert [found.name for found in card.items] == [*DEFINITIONS, *NOT_MEASURED]
    for found in card.of_the_slide:
        assert (found.value, found.category, found.unfavourable, found.regions) == (None, None, None, ())
        assert "0.1 mm2 of tumour" in str(found.not_assessed)


def test_what_lies_at_the_front_is_not_assessed_on_a_slide_without_one() -> None:
    labels = section()
    labels[labels == T.MUSCLE] = T.BACKGROUND
    card = score(TissueMap(labels, UM, clear=labels == T.BACKGROUND), cells(buds=in_a_row(12, 1900)))
    missing = {found.name for found in card.of_the_slide if not found.assessed}
    assert missing == {"budding", "crohn_like", "front_lymphocytes", "margin"}
    assert "no invasive front" in str(card.item("budding").not_assessed)


def test_an_item_that_the_networks_measure_badly_is_not_assessed() -> None:
    card = score(TissueMap(section(), UM), cells(buds=in_a_row(12, 1900)), unreliable={"budding": "ICC 0.4"})
    found = card.item("budding")
    assert (found.value, found.unfavourable, found.not_assessed) == (None, None, "ICC 0.4")
    assert "budding" not in card.unfavourable


def test_an_unreliable_item_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no item 'grade'"):
        score(TissueMap(section(), UM), cells(), unreliable={"grade": "ICC 0.4"})


def test_a_map_of_finer_pixels_gives_the_same_card() -> None:
    labels = section()
    add_disc(labels, (2.8, 2.5), 0.5, T.LYMPHOID)
    found = cells(buds=in_a_row(7, 1900), lymphocytes=in_a_row(40, 1000))
    coarse = score(TissueMap(labels, UM), found)
    fine = score(TissueMap(labels.repeat(2, axis=0).repeat(2, axis=1), UM / 2), found)
    for first, second in zip(coarse.items, fine.items, strict=True):
        assert second.value == pytest.approx(first.value, rel=0.01)
        assert second.category == first.category


def test_regions_lie_where_the_map_lies_on_the_slide() -> None:
    labels = section()
    moved_um = 10_000.0
    here = score(TissueMap(labels, UM), cells(buds=in_a_row(7, 1900)))
    moved_buds = [(y + moved_um, x + moved_um) for y, x in in_a_row(7, 1900)]
    there = score(TissueMap(labels, UM, (moved_um, moved_um)), cells(buds=moved_buds))
    (circle,), (moved_circle,) = here.item("budding").regions, there.item("budding").regions
    assert (moved_circle.y_um, moved_circle.x_um) == pytest.approx((circle.y_um + moved_um, circle.x_um + moved_um))
    (bed,), (moved_bed,) = (card.item("lymphocytes").regions for card in (here, there))
    assert np.array(moved_bed.points_um) == pytest.approx(np.array(bed.points_um) + moved_um)


def test_the_bed_is_outlined() -> None:
    (bed,) = item("tumour_stroma_ratio", section()).regions
    assert isinstance(bed, Polygon)
    y, x = np.array(bed.points_um).T
    area_mm2 = abs(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2e6
    assert area_mm2 == pytest.approx(12, rel=0.02)
    assert (y.min(), y.max()) == pytest.approx((0, 2000), abs=40)


def test_outlines_run_around_parts_and_leave_holes_out() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True
    mask[10:15, 10:15] = False
    mask[30:36, 30:36] = True
    large, small = outlines(mask)
    assert large.min() == pytest.approx(5, abs=0.5)
    assert large.max() == pytest.approx(25, abs=0.5)
    assert small.min() == pytest.approx(30, abs=0.5)
    assert outlines(np.zeros((4, 4), bool)) == []


def test_a_small_map_has_no_bed() -> None:
    assert find_bed(TissueMap(np.full((10, 10), T.TUMOUR, np.uint8), UM)) is None


def test_a_card_comes_back_from_json() -> None:
    card = score(TissueMap(section(), UM), cells(buds=in_a_row(12, 1900)), unreliable={"margin": "ICC 0.4"})
    assert ScoreCard.from_json(json.loads(json.dumps(card.to_json()))) == card


@pytest.mark.parametrize(
    "content", [None, {}, {"format": 2, "items": []}, {"format": 1, "items": [{"name": "budding"}]}]
)
def test_what_is_no_card_is_refused(content: object) -> None:
    with pytest.raises(InvalidInputError, match="no score card"):
        ScoreCard.from_json(content)


def test_a_chart_has_all_items_on_one_axis() -> None:
    rows = score(TissueMap(section(), UM), cells(buds=in_a_row(20, 1900))).chart_rows()
    by_title = {row["item"]: row for row in rows}
    assert by_title["Tumour budding"]["by_cut_off"] == 2
    assert by_title["Tumour budding"]["unfavourable"] is True
    assert by_title["Necrosis"]["by_cut_off"] is None
    assert len(rows) == len(DEFINITIONS) + len(NOT_MEASURED)


def test_unfavourable_items_are_named() -> None:
    labels = section()
    labels[: mm(2), : mm(4)] = T.TUMOUR
    card = score(TissueMap(labels, UM), cells(buds=in_a_row(12, 1900)))
    assert card.unfavourable == ("budding", "lymphocytes", "crohn_like")


def with_lumens(every_um: float, *, label: TissueLabel = T.TUMOUR, right_mm: float = 3.0) -> Item:
    """Gland formation of the section whose tumour has a hollow strip of 32 micrometres every so often, up to a place."""
    labels = section()
    clear = np.zeros(labels.shape, bool)
    for left in np.arange(round(every_um / UM / 2), mm(right_mm), round(every_um / UM)):
        clear[mm(0.1) : mm(1.9), left : left + 4] = True
    labels[clear] = label
    return score(TissueMap(labels, UM, clear=clear), cells()).item("gland_formation")


def test_a_tumour_with_a_lumen_within_reach_everywhere_forms_glands() -> None:
    found = with_lumens(104)
    assert found.value == pytest.approx(1, abs=0.05)
    assert found.category == "low grade"
    assert found.unfavourable is None  # not settled for the growth pattern
    assert found.measures["lumen_share"] == pytest.approx(0.9 * 32 / 104, abs=0.02)


def test_a_solid_tumour_forms_no_glands() -> None:
    labels = section()
    found = score(TissueMap(labels, UM, clear=np.zeros(labels.shape, bool)), cells()).item("gland_formation")
    assert (found.value, found.category) == (0, "high grade")


def test_of_a_half_solid_tumour_half_is_in_glands_also_where_lumens_were_taken_for_glass() -> None:
    assert with_lumens(104, right_mm=1.5).value == pytest.approx(0.5, abs=0.04)
    assert with_lumens(104, right_mm=1.5, label=T.BACKGROUND).value == pytest.approx(0.5, abs=0.04)


def test_what_is_as_clear_beside_the_tumour_is_no_lumen() -> None:
    labels = section()
    labels[: mm(2), mm(2.5) : mm(3)] = T.BACKGROUND
    clear = labels == T.BACKGROUND
    assert score(TissueMap(labels, UM, clear=clear), cells()).item("gland_formation").value == pytest.approx(
        0, abs=0.03
    )


def test_glands_are_not_assessed_where_the_map_does_not_say_what_is_hollow() -> None:
    assert "does not say where glands are hollow" in (item("gland_formation", section()).not_assessed or "")


def test_lymphocytes_at_the_front_are_counted_on_either_side_of_it_and_no_further() -> None:
    on_both_sides = [*in_a_row(60, 1700), *in_a_row(40, 2300)]
    found = item("front_lymphocytes", section(), cells(lymphocytes=[*on_both_sides, *in_a_row(50, 1000)]))
    assert found.measures["count"] == 100
    assert found.measures["area_mm2"] == pytest.approx(6 * 1, rel=0.05)  # 0.5 mm on either side of 6 mm
    assert found.value == pytest.approx(100 / found.measures["area_mm2"], abs=1e-3)
    assert found.unfavourable is None  # no cut-off is established


def test_lymphocytes_of_an_aggregate_are_no_reaction_at_the_front() -> None:
    labels = section()
    add_disc(labels, (2.3, 3), 0.3, T.LYMPHOID)
    assert item("front_lymphocytes", labels, cells(lymphocytes=in_a_row(5, 2300, 2950, 20))).value == 0


def test_what_no_network_finds_is_on_every_card_with_the_reason_and_is_no_item_of_the_slide() -> None:
    card = score(TissueMap(section(), UM), cells())
    for name, what in NOT_MEASURED.items():
        assert card.item(name).not_assessed == what.reason
        assert card.finding(name) is None
    assert {found.name for found in card.of_the_slide} == set(DEFINITIONS)
