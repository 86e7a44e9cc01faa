"""The kinds of JSON values, and the platform's rules for each."""

import math
from pathlib import Path

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Kind, Socket
from preop.grandchallenge.values import Point, check_value, multiple_points, read_json, to_json


def socket(kind: Kind, **limits: object) -> Socket:
    return Socket(slug="x", kind=kind, relative_path="x.json", description="x", **limits)


CHART = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "data": {"values": []}, "mark": "bar"}
POINTS = multiple_points([Point((1, 2, 3), "node", 0.5), Point((4, 5, 6))], name="nodes")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.FLOAT, 0.5),
        (Kind.FLOAT, 1),
        (Kind.INTEGER, 3),
        (Kind.BOOL, True),
        (Kind.STRING, "N2a"),
        (Kind.ANYTHING, {"a": [1, None, "x"]}),
        (Kind.MULTIPLE_POINTS, POINTS),
        (Kind.MULTIPLE_POINTS, multiple_points([])),
        (Kind.CHART, CHART),
        (Kind.CHART, {**CHART, "layer": []}),
    ],
)
def test_a_value_of_its_kind_is_accepted(kind: Kind, value: object) -> None:
    check_value(value, socket(kind))


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        (Kind.FLOAT, None, "x: None is not of type 'number'"),
        (Kind.FLOAT, False, "x: False is not of type 'number'"),
        (Kind.INTEGER, 0.5, "x: 0.5 is not of type 'integer'"),
        (Kind.INTEGER, True, "x: True is not of type 'integer'"),
        (Kind.BOOL, 1, "x: 1 is not of type 'boolean'"),
        (Kind.STRING, 1, "x: 1 is not of type 'string'"),
        (Kind.ANYTHING, {"a": [0, math.inf]}, "x.a[1] is not a finite number"),
        (Kind.MULTIPLE_POINTS, {**POINTS, "type": "Point"}, "x.type: 'Multiple points' was expected"),
        (Kind.MULTIPLE_POINTS, {**POINTS, "size": 1}, "'size' was unexpected"),
        (Kind.MULTIPLE_POINTS, {**POINTS, "points": [{"point": [1, 2]}]}, "x.points[0].point: [1, 2] is too short"),
        (
            Kind.MULTIPLE_POINTS,
            {**POINTS, "points": [{"point": [1, 2, 3], "probability": 1.1}]},
            "x.points[0].probability: 1.1 is greater than the maximum of 1",
        ),
        (Kind.CHART, {"mark": "bar", "data": {}}, "'$schema' is a required property"),
        (Kind.CHART, {**CHART, "$schema": "https://vega.github.io/schema/vega-lite/v6.json"}, "does not match"),
        (Kind.CHART, {key: CHART[key] for key in ("$schema", "data")}, "is not valid under any of the given schemas"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_place(kind: Kind, value: object, sentence: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_value(value, socket(kind))
    assert sentence in str(caught.value)


def test_a_socket_narrows_its_kind() -> None:
    check_value("N1", socket(Kind.STRING, choices=("N0", "N1")))
    with pytest.raises(InvalidInputError, match="'N4' is not one of"):
        check_value("N4", socket(Kind.STRING, choices=("N0", "N1")))
    with pytest.raises(InvalidInputError, match="less than the minimum of 0"):
        check_value(-1, socket(Kind.FLOAT, minimum=0))
    check_value(7, socket(Kind.FLOAT, maximum=7))
    with pytest.raises(InvalidInputError, match="greater than the maximum of 7"):
        check_value(7.5, socket(Kind.FLOAT, maximum=7))


def test_points_have_the_form_of_the_platform() -> None:
    assert POINTS == {
        "name": "nodes",
        "type": "Multiple points",
        "points": [
            {"point": [1.0, 2.0, 3.0], "name": "node", "probability": 0.5},
            {"point": [4.0, 5.0, 6.0]},
        ],
        "version": {"major": 1, "minor": 0},
    }


def test_json_text_has_no_nan_in_or_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": math.nan})
    (tmp_path / "a.json").write_text('{"a": Infinity}')
    with pytest.raises(InvalidInputError, match="Infinity is not a JSON number"):
        read_json(tmp_path / "a.json")


def test_deeply_nested_json_is_refused_and_does_not_crash(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(InvalidInputError, match="not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": 1, "a": 2}', "an object names 'a' twice"),
        ('[{"a": {"b": [], "b": []}}]', "an object names 'b' twice"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
    ],
)
def test_json_that_programs_read_in_different_ways_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidInputError, match=sentence):
        read_json(tmp_path / "x.json")


def test_half_a_surrogate_is_written_as_json_escapes_it(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(to_json({"a": "\ud800 \u00e9"}), encoding="utf-8")
    assert read_json(tmp_path / "x.json") == {"a": "\ud800 \u00e9"}
