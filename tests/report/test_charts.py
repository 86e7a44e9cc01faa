import json
import math
import re
import subprocess
import sys

import altair as alt
import numpy as np
import pytest

from preop.report import (
    Contribution,
    ScoredCase,
    calibration_chart,
    confusion_chart,
    contributions_chart,
    forest_chart,
    roc_chart,
    score_chart,
    to_svg,
)
from preop.statistics import Agreement, Estimate, auc_delong, calibration_curve, roc_curve

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


CHARTS = [contributions, roc, calibration, scores, confusion, forest]


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


def test_confusion_chart_holds_every_count():
    cells = {(row["reference"], row["predicted"]): row["cases"] for row in confusion()["data"]["values"]}
    assert cells["N1", "N0"] == 2
    assert cells["N2", "N2"] == 3
    assert sum(cells.values()) == 16


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
