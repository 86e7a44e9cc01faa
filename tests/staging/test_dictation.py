"""What is dictated for known findings."""

import pytest

from preop.staging import Edition, NodeFinding, Side, Station, dictate, nodal_stage


def dictated(primary: Side | None, *nodes: tuple[str, float, float], edition: Edition = Edition.NINTH) -> str:
    findings = [NodeFinding(Station.parse(name), axis, uptake) for name, axis, uptake in nodes]
    return dictate(nodal_stage([finding.station for finding in findings], primary, edition), findings)


@pytest.mark.parametrize(
    ("primary", "nodes", "words"),
    [
        (
            Side.RIGHT,
            [("4R", 14.2, 8.12), ("10R", 9, 4)],
            "N2a: one ipsilateral mediastinal station (4R, 14 mm, SUVmax 8.1); hilar 10R; "
            "no contralateral or supraclavicular uptake.",
        ),
        (
            Side.LEFT,
            [("5", 12, 6), ("7", 11, 5), ("5", 9, 7)],
            "N2b: two ipsilateral mediastinal stations (5, 12 mm, SUVmax 7.0; subcarinal 7, 11 mm, SUVmax 5.0); "
            "no hilar, contralateral or supraclavicular uptake.",
        ),
        (
            Side.RIGHT,
            [("1L", 8, 5), ("4L", 10, 4), ("7", 12, 6), ("12R", 7, 3)],
            "N3: supraclavicular (1L, 8 mm, SUVmax 5.0); contralateral mediastinal (4L, 10 mm, SUVmax 4.0); "
            "ipsilateral mediastinal subcarinal 7; lobar 12R; no hilar uptake.",
        ),
        (
            Side.LEFT,
            [("10R", 8, 5)],
            "N3: contralateral hilar (10R, 8 mm, SUVmax 5.0); no ipsilateral hilar, mediastinal or supraclavicular uptake.",
        ),
        (
            Side.RIGHT,
            [("11R", 9, 3)],
            "N1: interlobar (11R, 9 mm, SUVmax 3.0); no mediastinal, contralateral or supraclavicular uptake.",
        ),
        (Side.RIGHT, [], "N0: no hilar, mediastinal, contralateral or supraclavicular uptake."),
        (None, [], "N0: no hilar, mediastinal or supraclavicular uptake."),
        (
            None,
            [("4R", 9, 3)],
            "NX: the side of the primary is unknown, N2a or N3; mediastinal (4R, 9 mm, SUVmax 3.0); "
            "no hilar or supraclavicular uptake.",
        ),
        (
            Side.MIDLINE,
            [("4L", 9, 3)],
            "N2a: one mediastinal station (4L, 9 mm, SUVmax 3.0); no hilar or supraclavicular uptake.",
        ),
    ],
)
def test_a_stage_is_dictated_with_what_it_rests_on(
    primary: Side | None, nodes: list[tuple[str, float, float]], words: str
) -> None:
    assert dictated(primary, *nodes) == words


def test_the_eighth_edition_is_dictated_without_a_split() -> None:
    assert dictated(Side.RIGHT, ("7", 9, 3), edition=Edition.EIGHTH).startswith("N2: one ipsilateral")


def test_what_was_not_measured_is_left_out() -> None:
    stage = nodal_stage([Station("7")], Side.RIGHT)
    assert "(subcarinal 7)" in dictate(stage)
    assert "(subcarinal 7, 12 mm)" in dictate(stage, [NodeFinding(Station("7"), short_axis_mm=12)])


def test_nodes_not_assessed_are_dictated_as_such() -> None:
    assert dictate(nodal_stage(None, Side.RIGHT)) == "NX: the lymph nodes were not assessed."


def test_a_region_with_a_station_that_was_not_assessed_is_not_called_free() -> None:
    stage = nodal_stage([Station("4R")], Side.RIGHT)
    assert dictate(stage, not_assessed={Station("10L")}) == (
        "N2a: one ipsilateral mediastinal station (4R); no hilar or supraclavicular uptake."
    )
    none = nodal_stage([], Side.RIGHT)
    assert dictate(none, not_assessed=set(Station)) == "N0: no uptake in the stations that were assessed."


@pytest.mark.parametrize(
    ("station", "words"),
    [("10R", "hilar"), ("11R", "interlobar"), ("12R", "lobar"), ("13R", "segmental"), ("14R", "subsegmental")],
)
def test_stations_10_to_14_have_the_names_of_the_map(station: str, words: str) -> None:
    assert f"N1: {words} ({station})" in dictate(nodal_stage([Station(station)], Side.RIGHT))
    assert f"N3: contralateral {words} ({station})" in dictate(nodal_stage([Station(station)], Side.LEFT))
