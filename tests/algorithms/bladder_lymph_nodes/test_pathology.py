"""Counts by field of the dissection: read, checked, and brought to the nodes on CT."""

from __future__ import annotations

from pathlib import Path

import pytest

from bladder_lymph_nodes.pathology import (
    FieldReport,
    check_total,
    parts_of_fields,
    parts_of_total,
    read_fields,
    read_places,
)
from bladder_lymph_nodes.settings import NetworkSettings
from preop.errors import InvalidInputError

HEADER = "patient,side,region,removed,positive\n"
BY_REGION = NetworkSettings(fields="region", found=0.9, leak=0.1)
BY_SIDE = NetworkSettings(fields="side", found=0.9, leak=0.1)
FIELDS = [
    FieldReport("left", "obturator", 2, 1),
    FieldReport("left", "external iliac", 4, 0),
    FieldReport("right", "obturator", 2, 0),
]
PLACES = [
    ("left", "obturator"),
    ("left", "obturator"),
    ("left", "external iliac"),
    ("right", "obturator"),
    ("right", "common iliac"),
]


def table(tmp_path: Path, rows: str) -> Path:
    path = tmp_path / "fields.csv"
    path.write_text(HEADER + rows)
    return path


def test_fields_are_read_by_patient_and_a_side_or_region_may_be_left_open(tmp_path: Path) -> None:
    path = table(tmp_path, "a,left,obturator,4,1\na,right,,6,0\nb,,presacral,2,0\n")
    assert read_fields(path) == {
        "a": [FieldReport("left", "obturator", 4, 1), FieldReport("right", "", 6, 0)],
        "b": [FieldReport("", "presacral", 2, 0)],
    }
    assert read_fields(tmp_path / "none.csv") == {}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("a,links,obturator,4,1\n", "has the side links of a; expected left, right, or nothing"),
        ("a,left,hip,4,1\n", "has the region hip of a; expected obturator"),
        ("a,left,obturator,1,2\n", "has 2 positive of 1 removed nodes in the field left obturator of a"),
        ("a,left,obturator,many,2\n", "removed of a"),
        ("a,left,obturator,4,1\na,left,obturator,5,0\n", "has the field left obturator of a twice"),
    ],
)
def test_fields_that_cannot_be_are_refused(tmp_path: Path, rows: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        read_fields(table(tmp_path, rows))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "fields.csv").write_text("patient;side;region\n")
    with pytest.raises(InvalidInputError, match=r"fields\.csv has no column patient; expected patient, side"):
        read_fields(tmp_path / "fields.csv")


def test_places_of_nodes_are_read_by_patient_and_label(tmp_path: Path) -> None:
    path = tmp_path / "node_places.csv"
    path.write_text("patient,label,side,region\na,3,left,obturator\na,4,,\n")
    assert read_places(path) == {("a", 3): ("left", "obturator"), ("a", 4): ("", "")}


def test_a_node_that_is_placed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node_places.csv"
    path.write_text("patient,label,side,region\na,3,left,obturator\na,3,right,obturator\n")
    with pytest.raises(InvalidInputError, match=r"node_places\.csv has the node 3 of a twice"):
        read_places(path)


def test_fields_have_to_add_up_to_the_count_of_the_patient() -> None:
    check_total("a", FIELDS, 1, 1)
    with pytest.raises(InvalidInputError, match=r"fields of a have 1 positive nodes together, .* says 2 to 3"):
        check_total("a", FIELDS, 2, 3)


def test_each_field_counts_its_own_nodes_by_how_many_of_them_were_removed() -> None:
    first, second, third = parts_of_fields(PLACES, FIELDS, BY_REGION)
    assert (first.rows, first.low, first.high) == ((0, 1), 1, 1)
    assert first.found == pytest.approx(0.9)  # both removed
    assert first.leak == pytest.approx(0.1 * 2 / 8)
    assert (second.rows, second.low) == ((2,), 0)
    assert second.leak == pytest.approx(0.1 * 4 / 8 + 0.1 * 3)  # three were removed that are not on the CT
    assert third.rows == (3,)  # nothing was dissected where node 4 lies


def test_fewer_nodes_removed_than_on_ct_make_a_positive_one_likely_to_be_missed() -> None:
    (part,) = parts_of_fields(PLACES[:2], [FieldReport("left", "obturator", 1, 1)], BY_REGION)
    assert part.found == pytest.approx(0.9 / 2)


def test_where_a_region_is_not_known_all_of_a_side_is_counted_together() -> None:
    left, right = parts_of_fields([("left", ""), *PLACES[1:]], FIELDS, BY_REGION)
    assert (left.rows, left.low) == ((0, 1, 2), 1)
    assert (right.rows, right.low) == ((3, 4), 0)
    assert (left.found, right.found) == pytest.approx((0.9, 0.9))
    assert parts_of_fields(PLACES, FIELDS, BY_SIDE) == (left, right)


def test_where_a_side_is_not_known_all_nodes_are_counted_together() -> None:
    (part,) = parts_of_fields([("unknown", "obturator"), *PLACES[1:]], FIELDS, BY_REGION)
    assert part.rows == (0, 1, 2, 3)  # the common iliac region was not dissected
    assert (part.low, part.high) == (1, 1)


def test_a_positive_field_of_no_side_cannot_be_counted_by_side() -> None:
    presacral = FieldReport("", "presacral", 2, 1)
    (part,) = parts_of_fields(PLACES, [*FIELDS, presacral], BY_SIDE)
    assert (part.low, part.high) == (2, 2)
    assert len(parts_of_fields(PLACES, [*FIELDS, FieldReport("", "presacral", 2, 0)], BY_SIDE)) == 2


def test_a_field_in_which_nothing_was_removed_says_nothing() -> None:
    assert parts_of_fields(PLACES[:2], [FieldReport("left", "obturator", 0, 0)], BY_REGION) == ()


def test_of_a_total_the_number_of_removed_nodes_is_used() -> None:
    (part,) = parts_of_total(40, 1, float("inf"), 10, BY_SIDE)
    assert len(part.rows) == 40
    assert part.found == pytest.approx(0.9 / 4)
    assert (part.low, part.high) == (1, float("inf"))
