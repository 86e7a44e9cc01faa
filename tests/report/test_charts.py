import json
import math
import re
import subprocess
import sys

import altair as alt
import numpy as np
import pytest

from preop.report.charts import (
    Contribution,
    ScoredCase,
    calibration_chart,
    composition_chart,
    confusion_chart,
    contributions_chart,
    count_calibration_chart,
    count_chart,
    forest_chart,
    found_chart,
    roc_chart,
    roc_comparison_chart,
    score_chart,
    strip_chart,
    to_svg,
)
from preop.statistics import Agreement, Estimate, auc_delong, calibration_curve, count_calibration, roc_curve

LABELS = np.array([1, 1, 1, 0, 0, 0, 0])
SCORES = np.array([0.9, 0.6, 0.3, 0.6, 0.3, 0.2, 0.8])


def contributions():
    return contributions_chart(
        [
            Contribution("Age", "63 years", 0.12),
            Contribution("Tumour volume", "412 ml", 0.84),
            Contribution("Sphericity", "0.71", -0.42),
        ],
        title="What the likelihood rests on",
        subtitle="log odds",
    )


def roc():
    return roc_chart(roc_curve(LABELS, SCORES), auc_delong(LABELS, SCORES), operating_point=(2 / 3, 0.5))


def calibration():
    return calibration_chart(calibration_curve(LABELS, SCORES, groups=3))


def scores():
    cases = [ScoredCase("a", "yes", 0.9), ScoredCase("b", "yes", 0.0, valid=False), ScoredCase("c", "no", 0.1)]
    return score_chart(cases, reference_title="lung metastasis", threshold=0.5)


def confusion():
    return confusion_chart(Agreement(("N0", "N1", "N2"), np.array([[5, 1, 0], [2, 4, 1], [0, 0, 3]])))


def forest():
    estimates = {"radiomics": Estimate(0.75, 0.59, 0.91), "all right": Estimate.without_interval(1.0)}
    return forest_chart(estimates, axis="AUC", title="Models", no_effect=0.5)


def two_rocs():
    return roc_comparison_chart(
        {"model": roc_curve(LABELS, SCORES), "size": roc_curve(LABELS, -SCORES)},
        {"model": auc_delong(LABELS, SCORES), "size": Estimate.without_interval(1 / 3)},
        operating_points={"model": (2 / 3, 0.5)},
    )


def counts():
    return count_chart({"0": 0.62, "1": 0.3, "2": 0.078, "3 or more": 0.002}, title="Likelihood of pN+ 38 %")


def counted():
    return count_calibration_chart(count_calibration([0, 1, 3, 6], [0.5, 0.7, 4.0, 5.0], groups=2), axis="nodes")


def found():
    rankings = {"model": [0, 0.7, 1.0], "size": [0, 0.5, 0.8], "in no order": [0, 0.3, 0.6]}
    return found_chart(rankings, axis="nodes looked at", title="Finding", share=0.8)


def strip():
    return strip_chart({"positive": [0.7, 0.9, 0.2], "negative": [0.1, 0.3]}, axis="contribution", title="Nodes")


def compositions():
    shares = {
        "1: 24 mm": {"desmoplastic": 0.7, "replacement": 0.25, "pushing": 0.05},
        "2: 11 mm": {"desmoplastic": 0.2, "replacement": 0.3, "pushing": 0.5},
    }
    return composition_chart(shares, axis="share of the interface", title="Growth patterns")


CHARTS = [
    contributions,
    roc,
    calibration,
    scores,
    confusion,
    forest,
    two_rocs,
    counts,
    counted,
    found,
    strip,
    compositions,
]


def texts(spec):
    return re.findall(r"<text[^>]*>([^<]*)</text>", to_svg(spec))


@pytest.mark.parametrize("chart", CHARTS)
def test_chart_is_complete_small_vega_lite_5(chart):
    spec = chart()
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/v5")
    assert spec["data"]["values"]
    assert "datasets" not in spec
    assert isinstance(spec["width"], int)
    assert isinstance(spec["height"], int)
    text = json.dumps(spec, allow_nan=False)
    assert len(text) < 8000
    alt.Chart.from_json(text, validate=True)


@pytest.mark.parametrize("chart", CHARTS)
def test_chart_is_the_same_every_time_and_so_is_its_drawing(chart):
    spec = chart()
    assert json.dumps(spec) == json.dumps(chart())
    svg = to_svg(spec)
    assert svg == to_svg(spec)
    # Several drawings stand in one page, where an identifier may be used once.
    assert ' id="' not in svg
    assert "href" not in svg


def test_largest_contribution_stands_first_with_its_value_and_direction():
    rows = contributions()["data"]["values"]
    assert [row["label"] for row in rows] == ["Tumour volume: 412 ml", "Sphericity: 0.71", "Age: 63 years"]
    assert [row["direction"].split()[0] for row in rows] == ["raises", "lowers", "raises"]
    drawn = texts(contributions())
    assert {"+0.84", "\N{MINUS SIGN}0.42", "+0.12", "Tumour volume: 412 ml"} <= set(drawn)


def test_a_patient_without_contributions_still_has_a_chart():
    assert to_svg(contributions_chart([], title="Nothing")).startswith("<svg")


def test_roc_chart_shows_the_area_and_the_operating_point():
    area = auc_delong(LABELS, SCORES)
    assert f"AUC 0.67 [{area.lower:.2f}, {area.upper:.2f}]; dot: at the stated threshold" in texts(roc())
    points = [layer["data"]["values"] for layer in roc()["layer"] if "data" in layer]
    assert [{"false_positive_rate": 0.5, "sensitivity": 0.6667}] in points


def test_roc_chart_without_an_interval_or_a_threshold_says_only_the_area():
    chart = roc_chart(roc_curve([1, 0], [0.8, 0.2]), Estimate.without_interval(1.0))
    assert "AUC 1.00" in texts(chart)


def test_calibration_chart_holds_observed_and_predicted_of_each_group():
    (only,) = calibration_chart(calibration_curve([1, 0, 0, 0], [0.3] * 4))["data"]["values"]
    assert (only["predicted"], only["observed"], only["cases"]) == (0.3, 0.25, 4)
    assert only["lower"] < 0.25 < only["upper"]


def test_score_chart_tells_what_was_not_predicted_apart():
    kinds = [row["kind"] for row in scores()["data"]["values"]]
    assert kinds == ["predicted", "no valid prediction, scored as the worst", "predicted"]
    assert "no valid prediction, scored as the worst" in texts(scores())


def test_equal_scores_of_one_class_do_not_hide_each_other():
    cases = [ScoredCase(str(number), "yes", 0.5) for number in range(5)] + [ScoredCase("other", "no", 0.5)]
    lanes = [row["lane"] for row in score_chart(cases, reference_title="x")["data"]["values"]]
    assert lanes == [0, 1, -1, 2, -2, 0]


def test_many_cases_make_a_chart_no_higher_than_a_page():
    cases = [ScoredCase(str(number), "yes", 0.5) for number in range(400)]
    assert score_chart(cases, reference_title="x")["height"] < 300


def test_two_roc_curves_are_named_with_their_areas_and_have_their_points():
    area = auc_delong(LABELS, SCORES)
    assert {f"model: AUC 0.67 [{area.lower:.2f}, {area.upper:.2f}]", "size: AUC 0.33"} <= set(texts(two_rocs()))
    points = [layer["data"]["values"] for layer in two_rocs()["layer"] if "data" in layer][-1]
    assert [(point["false_positive_rate"], point["sensitivity"]) for point in points] == [(0.5, 0.6667)]


def test_a_roc_curve_of_thousands_keeps_its_ends_and_few_points():
    random = np.random.default_rng(0)
    labels, scores = random.random(5000) < 0.1, random.random(5000)
    rows = roc_comparison_chart({"a": roc_curve(labels, scores)}, {"a": auc_delong(labels, scores)})["data"]["values"]
    assert len(rows) <= 401
    ends = [(row["false_positive_rate"], row["sensitivity"]) for row in (rows[0], rows[-1])]
    assert ends == [(0, 0), (1, 1)]


def test_count_chart_writes_each_probability_that_can_be_seen():
    drawn = texts(counts())
    assert {"62 %", "30 %", "8 %"} <= set(drawn)
    assert "0 %" not in drawn
    assert {"0", "1", "2"} <= set(drawn)
    # One word a line, so that the last bar is no wider than the others.
    assert re.findall(r"<tspan[^>]*>([^<]*)</tspan>", to_svg(counts())) == ["3", "or", "more"]


def test_count_chart_shows_what_was_counted_as_dots():
    chart = count_chart({"0": 0.6, "1": 0.4}, title="Numbers", observed={"0": 0.75, "1": 0.25})
    points = [layer["data"]["values"] for layer in chart["layer"] if "data" in layer]
    assert [[row["probability"] for row in rows] for rows in points] == [[0.75, 0.25]]


def test_a_patient_without_counts_still_has_a_chart():
    assert to_svg(count_chart({}, title="Nothing")).startswith("<svg")


def test_count_calibration_never_reaches_below_zero():
    low, high = counted()["data"]["values"]
    assert (low["expected"], low["observed"], low["lower"], low["cases"]) == (0.6, 0.5, 0, 2)
    assert high["upper"] > 6
    assert to_svg(count_calibration_chart(count_calibration([0], [0.0]), axis="nodes")).startswith("<svg")


def test_found_chart_begins_with_nothing_looked_at():
    rows = found()["data"]["values"]
    assert [row["found"] for row in rows if row["looked_at"] == 0] == [0, 0, 0]
    assert {"model", "size", "in no order"} <= set(texts(found()))


def test_strip_chart_draws_a_large_group_by_its_quantiles():
    values = np.arange(1000) / 999
    chart = strip_chart({"positive": [0.5], "negative": values.tolist()}, axis="contribution", title="Nodes")
    drawn = [row["value"] for row in chart["data"]["values"] if row["group"] == "negative (n = 1000)"]
    assert len(drawn) == 300
    assert (drawn[0], drawn[-1]) == (0, 1)
    assert "thick: median; groups of more than 300 by as many quantiles" in texts(chart)
    medians = [layer["data"]["values"] for layer in chart["layer"] if "data" in layer]
    assert [[row["value"] for row in rows] for rows in medians] == [[0.5, 0.5]]


def test_confusion_chart_holds_every_count():
    cells = {(row["reference"], row["predicted"]): row["cases"] for row in confusion()["data"]["values"]}
    assert cells["N1", "N0"] == 2
    assert cells["N2", "N2"] == 3
    assert sum(cells.values()) == 16


def test_a_composition_names_what_has_room_and_keeps_the_order_of_the_parts():
    assert {"70 %", "25 %", "20 %", "30 %", "50 %", "desmoplastic", "2: 11 mm"} <= set(texts(compositions()))
    assert "5 %" not in texts(compositions())
    assert compositions()["layer"][0]["encoding"]["color"]["scale"]["domain"] == [
        "desmoplastic",
        "replacement",
        "pushing",
    ]


def test_forest_chart_writes_each_estimate_and_leaves_out_what_is_not_determined():
    assert {"0.75 [0.59, 0.91]", "1.00", "radiomics"} <= set(texts(forest()))
    assert forest()["data"]["values"][1]["lower"] is None
    assert not any(math.isnan(row["value"]) for row in forest()["data"]["values"])


def test_text_of_others_is_escaped_in_the_drawing():
    svg = to_svg(contributions_chart([Contribution("<script>alert(1)</script>", "&", 1.0)], title="</svg>"))
    assert "<script" not in svg
    assert svg.count("</svg>") == 1


def test_importing_the_package_loads_none_of_the_heavy_libraries():
    code = "import sys, preop.report; print(sorted({'altair', 'vl_convert', 'scipy', 'pandas'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path_of_here()
    )
    assert result.stdout.strip() == "[]"


def path_of_here():
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}
