"""The TNM table, cell by cell."""

from itertools import combinations

import pytest

from preop.errors import InvalidInputError
from preop.staging import Edition, N, Side, Station, nodal_stage, stages_of

RIGHT, LEFT = Side.RIGHT, Side.LEFT

# The table of TNM for one involved station, written out by hand: station, right primary, left primary.
TABLE = """
1R  N3  N3
1L  N3  N3
2R  N2  N3
2L  N3  N2
3a  N2  N2
3aR N2  N3
3aL N3  N2
3p  N2  N2
3pR N2  N3
3pL N3  N2
4R  N2  N3
4L  N3  N2
5   N3  N2
6   N3  N2
7   N2  N2
8R  N2  N3
8L  N3  N2
9R  N2  N3
9L  N3  N2
10R N1  N3
10L N3  N1
11R N1  N3
11L N3  N1
12R N1  N3
12L N3  N1
13R N1  N3
13L N3  N1
14R N1  N3
14L N3  N1
"""
CELLS = {line.split()[0]: line.split()[1:] for line in TABLE.split("\n") if line}


def stage(*names: str, primary: Side | None, edition: Edition = Edition.NINTH) -> N:
    return nodal_stage([Station.parse(name) for name in names], primary, edition).category


def in_table(name: str, primary: Side) -> str:
    return CELLS[name][0 if primary is RIGHT else 1]


def test_the_table_names_every_station() -> None:
    assert [station.value for station in Station] == list(CELLS)


@pytest.mark.parametrize("primary", [RIGHT, LEFT])
@pytest.mark.parametrize("name", CELLS)
def test_a_station_alone_is_as_in_the_table(name: str, primary: Side) -> None:
    expected = in_table(name, primary)
    assert stage(name, primary=primary, edition=Edition.EIGHTH) == expected
    assert stage(name, primary=primary) == ("N2a" if expected == "N2" else expected)


@pytest.mark.parametrize("primary", [RIGHT, LEFT])
@pytest.mark.parametrize(("first", "second"), list(combinations(CELLS, 2)))
def test_two_stations_are_the_worse_of_both_and_two_of_n2_are_n2b(first: str, second: str, primary: Side) -> None:
    pair = sorted((in_table(first, primary), in_table(second, primary)))
    assert stage(first, second, primary=primary, edition=Edition.EIGHTH) == pair[1]
    one_on_the_map = first[:2] == second[:2] and first[0] == "3"  # 3a and 3aR are one station
    expected = pair[1] if pair[1] != "N2" else "N2b" if pair == ["N2", "N2"] and not one_on_the_map else "N2a"
    assert stage(first, second, primary=primary) == expected


@pytest.mark.parametrize("primary", [*Side, None])
def test_no_involved_station_is_n0_whatever_the_side(primary: Side | None) -> None:
    assert stage(primary=primary) is N.N0


@pytest.mark.parametrize("primary", [*Side, None])
@pytest.mark.parametrize("station", ["1R", "1L"])
def test_station_1_is_n3_on_either_side(station: str, primary: Side | None) -> None:
    assert stage(station, primary=primary) is N.N3


@pytest.mark.parametrize("primary", [*Side, None])
def test_station_7_is_n2_from_every_side(primary: Side | None) -> None:
    assert stage("7", primary=primary) is N.N2A
    assert stage("7", primary=primary, edition=Edition.EIGHTH) is N.N2


def test_n1_involvement_does_not_matter_to_the_split_of_n2() -> None:
    assert stage("4R", "10R", "11R", "13R", primary=RIGHT) is N.N2A
    assert stage("4R", "7", primary=RIGHT) is N.N2B


def test_both_sides_are_n3_for_a_primary_of_unknown_side() -> None:
    assert stage("4R", "10L", primary=None) is N.N3


@pytest.mark.parametrize(
    ("names", "at_least"),
    [(["10R"], "N1"), (["4R"], "N2a"), (["4R", "7"], "N2b"), (["10L", "7"], "N2a"), (["5", "6"], "N2b")],
)
def test_one_side_alone_is_nx_with_a_lower_bound_where_the_side_is_unknown(names: list[str], at_least: str) -> None:
    result = nodal_stage([Station.parse(name) for name in names], None)
    assert (result.category, result.at_least, result.at_most) == (N.NX, at_least, N.N3)
    assert "side of the primary is unknown" in result.reason


@pytest.mark.parametrize("names", list(combinations(CELLS, 2)))
def test_without_a_side_the_category_is_given_exactly_where_both_sides_agree(names: tuple[str, str]) -> None:
    right, left = stage(*names, primary=RIGHT), stage(*names, primary=LEFT)
    assert stage(*names, primary=None) is (right if right is left else N.NX)


def test_nodes_not_assessed_are_nx() -> None:
    result = nodal_stage(None, RIGHT)
    assert (result.category, result.at_least, result.at_most) == (N.NX, N.N0, N.N3)
    assert "not assessed" in result.reason


def test_a_primary_in_the_midline_has_no_contralateral_side() -> None:
    assert stage("10R", "10L", primary=Side.MIDLINE) is N.N1
    assert stage("4L", primary=Side.MIDLINE) is N.N2A
    assert stage("4R", "4L", primary=Side.MIDLINE) is N.N2B
    assert stage("3aR", "3aL", primary=Side.MIDLINE) is N.N2A


def test_every_set_of_three_stations_has_a_category_and_a_reason() -> None:
    """Public code drops patients when no rule matches."""
    for names in combinations(Station, 3):
        for primary in (RIGHT, LEFT, None):
            result = nodal_stage(names, primary)
            assert result.category in (N.N1, N.N2A, N.N2B, N.N3, N.NX)
            assert result.reason.endswith(".")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("4R", "4R"),
        (" 4 r ", "4R"),
        ("R4", "4R"),
        ("#7", "7"),
        ("station 10L", "10L"),
        ("11Ri", "11R"),
        ("11s", "11R"),
        ("3A", "3a"),
        ("3pl", "3pL"),
        ("5L", "5"),
    ],
)
def test_stations_are_read_as_reports_write_them(text: str, name: str) -> None:
    assert Station.parse(text) is Station(name)


@pytest.mark.parametrize(("text", "words"), [("4", "no side"), ("15R", "no lymph node station"), ("7R", "no lymph")])
def test_a_station_that_is_not_on_the_map_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Station.parse(text)


def test_numbers_and_sides_of_stations() -> None:
    assert (Station("14L").number, Station("14L").side) == (14, LEFT)
    assert (Station("3a").number, Station("3a").side) == (3, Side.MIDLINE)
    assert Station("5").side is LEFT
    assert Side.parse("R") is RIGHT
    assert RIGHT.other is LEFT
    with pytest.raises(InvalidInputError, match="both"):
        Side.parse("both")


@pytest.mark.parametrize(
    ("text", "category"), [("N2a", N.N2A), ("pN0", N.N0), (" cn3", N.N3), ("N2", N.N2), ("ypN1", N.N1), ("nx", N.NX)]
)
def test_categories_are_read_as_tables_write_them(text: str, category: N) -> None:
    assert stages_of([text]) == [category]


def test_another_word_is_no_category() -> None:
    with pytest.raises(InvalidInputError, match="The nodal category is 'II'"):
        stages_of(["II"])
