"""Charts as Vega-Lite 5 specifications, the form in which grand-challenge.org shows them, and as SVG for pages.

Each chart is complete and small: its data stand inside, its size is fixed, and the same numbers give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from preop.statistics import (
    Agreement,
    CalibrationPoint,
    CountPoint,
    DecisionCurve,
    Estimate,
    RocBand,
    RocCurve,
    SurvivalCurve,
)

if TYPE_CHECKING:
    import altair as alt

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

VEGA_LITE_VERSION = "5.20"

# Blue and orange stay apart for readers with any common colour blindness.
_BLUE, _ORANGE = "#2b6a99", "#c8591c"
_SAND = "#8f8250"
_INK, _MUTED, _LINE = "#1f2937", "#64748b", "#e2e8f0"
_CONFIG: dict[str, Any] = {
    "background": "white",
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "#94a3b8",
        "gridColor": _LINE,
        "labelColor": _INK,
        "labelFlush": False,
        "labelFontSize": 12,
        "labelPadding": 8,
        "tickColor": "#94a3b8",
        "titleColor": _MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "legend": {
        "labelColor": _INK,
        "labelFontSize": 12,
        "labelLimit": 0,
        "orient": "top",
        "title": None,
        "symbolSize": 90,
    },
    "title": {
        "anchor": "start",
        "color": _INK,
        "fontSize": 15,
        "frame": "group",
        "offset": 14,
        "subtitleColor": _MUTED,
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
    },
}
_ROW_HEIGHT = 26
# Of a chart that draws every case: more than fill it lie on top of each other.
_MOST_ROW_HEIGHT = 160
# Of a table of cases; a cell is at least as wide as its name.
_CELL, _LETTER = 64, 7
# A curve has no more points than can be told apart on a page.
_CURVE_STEPS = 200
# A smaller part of a bar has no room for its number.
_SHOWN_SHARE = 0.09
# So many marks show a distribution as well as thousands.
_MOST_MARKS = 300


@dataclass(frozen=True)
class Contribution:
    """What one feature adds to a patient's log odds.

    Attributes
    ----------
    feature
        Its name as a reader knows it, unique in a chart.
    value
        The patient's value as text, with its unit.
    log_odds
        Its part of the log odds, above 0 where it raises the likelihood.
    """

    feature: str
    value: str
    log_odds: float


@dataclass(frozen=True)
class ScoredCase:
    """One case of a score chart.

    Attributes
    ----------
    case
        Its name.
    reference
        Its class as text.
    score
        Between 0 and 1.
    valid
        False where the score is not the algorithm's, but stands for a prediction that it did not give.
    """

    case: str
    reference: str
    score: float
    valid: bool = True


def contributions_chart(contributions: Sequence[Contribution], *, title: str, subtitle: str = "") -> Spec:
    """Draw each feature's contribution to a patient's log odds, the largest first."""
    import altair as alt

    ordered = sorted(contributions, key=lambda item: -abs(item.log_odds))
    rows: Rows = [
        {
            "feature": item.feature,
            "value": item.value,
            "label": f"{item.feature}: {item.value}",
            "log_odds": round(item.log_odds, 4),
            "text": f"{item.log_odds:+.2f}".replace("-", "\N{MINUS SIGN}"),
            "direction": "raises the likelihood" if item.log_odds > 0 else "lowers the likelihood",
        }
        for item in ordered
    ]
    # Room on either side for the numbers at the ends of the bars.
    reach = 1.3 * max((abs(item.log_odds) for item in ordered), default=0.0) or 1.0
    base = alt.Chart().encode(
        x=alt.X(
            "log_odds:Q",
            title="contribution (log odds)",
            scale=alt.Scale(domain=[-reach, reach], nice=False),
            axis=alt.Axis(tickCount=5),
        ),
        y=alt.Y("label:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=420)),
    )
    bars = base.mark_bar(height={"band": 0.62}).encode(
        color=alt.Color(
            "direction:N",
            scale=alt.Scale(domain=["raises the likelihood", "lowers the likelihood"], range=[_ORANGE, _BLUE]),
        ),
        tooltip=[
            alt.Tooltip("feature:N"),
            alt.Tooltip("value:N"),
            alt.Tooltip("log_odds:Q", title="log odds", format="+.3f"),
        ],
    )
    right = base.mark_text(align="left", dx=5, color=_INK).encode(text="text:N").transform_filter("datum.log_odds > 0")
    left = (
        base.mark_text(align="right", dx=-5, color=_INK).encode(text="text:N").transform_filter("datum.log_odds <= 0")
    )
    return _spec(
        [bars, _vertical(0, dashed=False), right, left],
        rows,
        title,
        subtitle,
        width=320,
        height=_ROW_HEIGHT * max(len(rows), 1),
    )


def roc_chart(
    curve: RocCurve, area: Estimate, *, operating_point: tuple[float, float] | None = None, title: str = "ROC curve"
) -> Spec:
    """Draw a ROC curve with its area, and the operating point (sensitivity, specificity) where there is one."""
    import altair as alt

    rows: Rows = [
        {"step": step, "false_positive_rate": round(float(x), 4), "sensitivity": round(float(y), 4)}
        for step, (x, y) in enumerate(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    ]
    base = alt.Chart().encode(
        x=alt.X("false_positive_rate:Q", title="1 - specificity", **_unit()),
        y=alt.Y("sensitivity:Q", title="sensitivity", **_unit()),
    )
    line = base.mark_line(color=_BLUE, strokeWidth=2.5, strokeJoin="round").encode(order="step:Q")
    layers = [_diagonal(), line]
    if operating_point is not None:
        sensitivity, specificity = operating_point
        point = {"false_positive_rate": round(1 - specificity, 4), "sensitivity": round(sensitivity, 4)}
        layers.append(
            base.mark_point(filled=True, size=110, color=_ORANGE, opacity=1, stroke="white", strokeWidth=1.5)
            .encode(tooltip=[alt.Tooltip("sensitivity:Q", format=".2f")])
            .properties(data=alt.Data(values=[point]))
        )
    subtitle = f"AUC {format_estimate(area)}" + ("; dot: at the stated threshold" if operating_point else "")
    return _spec(layers, rows, title, subtitle, width=300, height=300)


def calibration_chart(points: Sequence[CalibrationPoint], *, title: str = "Calibration") -> Spec:
    """Draw observed against predicted, with Wilson's interval of each group."""
    import altair as alt

    rows: Rows = [
        {
            "predicted": round(point.predicted, 4),
            "observed": round(point.observed.value, 4),
            "lower": round(point.observed.lower, 4),
            "upper": round(point.observed.upper, 4),
            "cases": point.cases,
        }
        for point in points
    ]
    base = alt.Chart().encode(x=alt.X("predicted:Q", title="predicted likelihood", **_unit()))
    observed = alt.Y("observed:Q", title="observed share", **_unit())
    intervals = base.mark_rule(color=_BLUE, opacity=0.5, strokeWidth=1.5).encode(
        y=alt.Y("lower:Q", title="observed share", **_unit()), y2="upper:Q"
    )
    line = base.mark_line(color=_BLUE, strokeWidth=2).encode(y=observed)
    dots = base.mark_point(filled=True, size=70, color=_BLUE, opacity=1).encode(
        y=observed, tooltip=[alt.Tooltip("cases:Q"), alt.Tooltip("observed:Q", format=".2f")]
    )
    subtitle = "groups of similar predictions, with 95 % intervals; dashed: ideal"
    return _spec([_diagonal(), intervals, line, dots], rows, title, subtitle, width=300, height=300)


def score_chart(
    cases: Sequence[ScoredCase], *, reference_title: str, threshold: float | None = None, title: str = "Scores"
) -> Spec:
    """Draw every case as a dot at its score, one row for each class of the reference in the order of their coming."""
    import altair as alt

    classes = list(dict.fromkeys(case.reference for case in cases))
    kinds = {True: "predicted", False: "no valid prediction, scored as the worst"}
    rows: Rows = [
        {
            "case": case.case,
            "reference": case.reference,
            "score": round(case.score, 4),
            "kind": kinds[case.valid],
            "lane": lane,
        }
        for case, lane in zip(cases, _lanes(cases), strict=True)
    ]
    deepest = max((abs(row["lane"]) for row in rows), default=0) + 1
    shown = [kind for valid, kind in kinds.items() if any(case.valid is valid for case in cases)]
    dots = (
        alt.Chart()
        .mark_point(filled=True, size=64, opacity=0.85, stroke="white", strokeWidth=0.7)
        .encode(
            x=alt.X("score:Q", title="likelihood", **_unit()),
            y=alt.Y(
                "reference:N", title=reference_title, sort=classes, axis=alt.Axis(domain=False, ticks=False, grid=True)
            ),
            yOffset=alt.YOffset("lane:Q", scale=alt.Scale(domain=[-deepest, deepest])),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=shown, range=[_BLUE if kind == kinds[True] else _ORANGE for kind in shown]),
                legend=alt.Legend() if len(shown) > 1 else None,
            ),
            tooltip=[alt.Tooltip("case:N"), alt.Tooltip("score:Q", format=".3f")],
        )
    )
    layers = [dots]
    subtitle = "one dot a case"
    if threshold is not None:
        layers.insert(0, _vertical(threshold))
        subtitle += f"; dashed: the stated threshold, {threshold:.2f}"
    row_height = min(max(110, 20 * deepest), _MOST_ROW_HEIGHT)
    return _spec(layers, rows, title, subtitle, width=300, height=row_height * max(len(classes), 1))


def confusion_chart(agreement: Agreement, *, title: str = "Stages") -> Spec:
    """Draw the table of reference and predicted stages, darker where more cases lie."""
    import altair as alt

    most = max(int(agreement.matrix.max()), 1)
    rows: Rows = [
        {"reference": true, "predicted": called, "cases": count, "dark": count > most / 2}
        for true, counts in agreement.as_dict().items()
        for called, count in counts.items()
    ]
    stages = list(agreement.categories)
    base = alt.Chart().encode(
        x=alt.X("predicted:N", title="predicted", sort=stages, axis=alt.Axis(labelAngle=0, domain=False, ticks=False)),
        y=alt.Y("reference:N", title="reference", sort=stages, axis=alt.Axis(domain=False, ticks=False)),
    )
    squares = base.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.Color("cases:Q", scale=alt.Scale(domain=[0, most], range=["#f1f5f9", _BLUE]), legend=None),
        tooltip=["reference:N", "predicted:N", "cases:Q"],
    )
    numbers = base.mark_text(fontSize=14).encode(
        text="cases:Q", color=alt.condition("datum.dark", alt.value("white"), alt.value(_INK))
    )
    width = max(_CELL, _LETTER * max(map(len, stages), default=0)) * len(stages)
    return _spec([squares, numbers], rows, title, "number of cases", width=width, height=_CELL * len(stages))


def forest_chart(
    estimates: Mapping[str, Estimate], *, axis: str, title: str, subtitle: str = "", no_effect: float | None = None
) -> Spec:
    """Draw estimates one below the other with their intervals, as of the AUCs of several models.

    Parameters
    ----------
    estimates
        By the name that stands beside them, in order from the top.
    axis
        What is estimated.
    no_effect
        Where a dashed line marks "no better than nothing", 0.5 for an AUC.
    """
    import altair as alt

    rows: Rows = [
        {
            "name": name,
            "value": row["value"],
            "lower": row["lower"],
            "upper": row["upper"],
            "text": format_estimate(item),
        }
        for name, item in estimates.items()
        for row in [item.as_dict()]
    ]
    x_scale = alt.Scale(zero=False, nice=True)
    base = alt.Chart().encode(
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=420))
    )
    intervals = base.mark_rule(color=_BLUE, strokeWidth=2).encode(
        x=alt.X("lower:Q", title=axis, scale=x_scale), x2="upper:Q"
    )
    values = base.mark_point(filled=True, shape="square", size=80, color=_BLUE, opacity=1).encode(
        x=alt.X("value:Q", title=axis, scale=x_scale), tooltip=["name:N", "text:N"]
    )
    width = 300
    numbers = base.mark_text(align="left", color=_INK).encode(x=alt.value(width + 14), text="text:N")
    layers = [intervals, values, numbers]
    if no_effect is not None:
        layers.insert(0, _vertical(no_effect))
    return _spec(layers, rows, title, subtitle, width=width, height=_ROW_HEIGHT * max(len(rows), 1))


def roc_band_chart(band: RocBand, area: Estimate, *, title: str = "ROC curve", subtitle: str = "") -> Spec:
    """Draw a ROC curve with the interval of its sensitivity at each rate of false positives."""
    import altair as alt

    rows: Rows = [
        {
            "false_positive_rate": round(x, 4),
            "sensitivity": round(y, 4),
            "lower": round(low, 4),
            "upper": round(high, 4),
        }
        for x, y, low, high in np.column_stack(
            [band.false_positive_rate, band.sensitivity, band.lower, band.upper]
        ).tolist()
    ]
    base = alt.Chart().encode(x=alt.X("false_positive_rate:Q", title="1 - specificity", **_unit()))
    shade = base.mark_area(color=_BLUE, opacity=0.16).encode(
        y=alt.Y("lower:Q", title="sensitivity", **_unit()), y2="upper:Q"
    )
    line = base.mark_line(color=_BLUE, strokeWidth=2.5).encode(y=alt.Y("sensitivity:Q", title="sensitivity", **_unit()))
    words = f"AUC {format_estimate(area)}" + (f"; {subtitle}" if subtitle else "")
    return _spec([_diagonal(), shade, line], rows, title, words, width=300, height=300)


def decision_chart(curve: DecisionCurve, *, title: str = "Decision curve") -> Spec:
    """Draw the net benefit of acting by a model, on all and on none, over the risk from which one would act."""
    import altair as alt

    lines = {"by the model": curve.model, "on all": curve.all, "on none": curve.none}
    top = max(float(curve.all.max()), float(curve.model.max()), 0.01)
    # Far below zero nothing is decided any more: the lines end there.
    bottom = -top / 4
    rows: Rows = [
        {"threshold": round(x, 4), "benefit": round(y, 4) if y >= bottom else None, "acting": name}
        for name, values in lines.items()
        for x, y in zip(curve.thresholds.tolist(), values.tolist(), strict=True)
    ]
    chart = (
        alt.Chart()
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("threshold:Q", title="risk from which one would act", axis=alt.Axis(format=".1f", tickCount=6)),
            y=alt.Y("benefit:Q", title="net benefit", scale=alt.Scale(domain=[bottom, top * 1.05], nice=False)),
            color=alt.Color(
                "acting:N", sort=list(lines), scale=alt.Scale(domain=list(lines), range=[_BLUE, _ORANGE, _MUTED])
            ),
            strokeDash=alt.StrokeDash(
                "acting:N", sort=list(lines), scale=alt.Scale(domain=list(lines), range=[[1, 0], [6, 3], [2, 3]])
            ),
        )
    )
    return _spec([chart], rows, title, "true positives a patient, less the needless actions", width=300, height=270)


def survival_chart(
    curves: Mapping[str, SurvivalCurve], *, title: str, subtitle: str = "", per_year: float = 365.25
) -> Spec:
    """Draw Kaplan-Meier curves of up to two groups with their bands; times in days are shown in years."""
    import altair as alt

    rows: Rows = [
        {
            "group": f"{name} (n = {int(curve.at_risk[0])})",
            "years": round(float(time) / per_year, 4),
            "free": round(float(free), 4),
            "lower": round(float(low), 4),
            "upper": round(float(high), 4),
        }
        for name, curve in curves.items()
        for time, free, low, high in zip(curve.times, curve.free, curve.lower, curve.upper, strict=True)
    ]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    color = alt.Color("group:N", sort=groups, scale=alt.Scale(domain=groups, range=[_ORANGE, _BLUE]))
    base = alt.Chart().encode(x=alt.X("years:Q", title="years"), color=color)
    free = alt.Y("free:Q", title="free of the event", **_unit())
    shade = base.mark_area(opacity=0.14, interpolate="step-after").encode(
        y=alt.Y("lower:Q", title="free of the event", **_unit()), y2="upper:Q"
    )
    line = base.mark_line(strokeWidth=2.5, interpolate="step-after").encode(y=free)
    return _spec([shade, line], rows, title, subtitle, width=300, height=270)


def share_chart(shares: Mapping[str, float], *, axis: str, title: str, subtitle: str = "") -> Spec:
    """Draw shares as bars, one below the other in the order they come."""
    import altair as alt

    rows: Rows = [
        {"name": name, "share": round(share, 4), "text": f"{share:.0%}".replace("%", " %")}
        for name, share in shares.items()
    ]
    base = alt.Chart().encode(
        x=alt.X("share:Q", title=axis, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)),
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=210)),
    )
    bars = base.mark_bar(color=_BLUE, height={"band": 0.6})
    numbers = base.mark_text(align="left", dx=5, color=_INK).encode(text="text:N")
    return _spec([bars, numbers], rows, title, subtitle, width=230, height=_ROW_HEIGHT * max(len(rows), 1))


def composition_chart(
    compositions: Mapping[str, Mapping[str, float]], *, axis: str, title: str, subtitle: str = ""
) -> Spec:
    """Draw the shares of a whole as one bar divided in up to three colours, one whole below the other.

    Parameters
    ----------
    compositions
        Shares by their names, the same and in the same order for all, by the name that stands beside the bar.
    axis
        What they are shares of.
    """
    import altair as alt

    parts = list(next(iter(compositions.values())))
    rows: Rows = [
        {
            "whole": whole,
            "part": part,
            "order": parts.index(part),
            "share": round(share, 4),
            "text": f"{share:.0%}".replace("%", " %") if share >= _SHOWN_SHARE else "",
        }
        for whole, shares in compositions.items()
        for part, share in shares.items()
    ]
    base = alt.Chart().encode(
        x=alt.X(
            "share:Q",
            title=axis,
            stack="zero",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
        y=alt.Y("whole:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=210)),
        order="order:Q",
    )
    bars = base.mark_bar(height={"band": 0.7}).encode(
        color=alt.Color("part:N", scale=alt.Scale(domain=parts, range=[_BLUE, _ORANGE, _SAND][: len(parts)])),
        tooltip=["whole:N", "part:N", alt.Tooltip("share:Q", format=".0%")],
    )
    numbers = (
        alt.Chart()
        .mark_text(color="white", fontWeight="bold")
        .encode(
            x=alt.X("share:Q", stack="zero", bandPosition=0.5),
            y=alt.Y("whole:N", sort=None),
            order="order:Q",
            detail="part:N",
            text="text:N",
        )
    )
    return _spec([bars, numbers], rows, title, subtitle, width=330, height=_ROW_HEIGHT * max(len(compositions), 1))


def roc_comparison_chart(
    curves: Mapping[str, RocCurve],
    areas: Mapping[str, Estimate],
    *,
    operating_points: Mapping[str, tuple[float, float]] | None = None,
    title: str = "ROC curves",
    subtitle: str = "",
) -> Spec:
    """Draw two ROC curves of the same cases, and the operating points (sensitivity, specificity) where there are any.

    Parameters
    ----------
    curves, areas
        By the name that stands beside them.
    operating_points
        By the same names.
    """
    import altair as alt

    rows: Rows = [
        {"curve": _named_area(name, areas[name]), "step": step, "false_positive_rate": x, "sensitivity": y}
        for name, curve in curves.items()
        for step, (x, y) in enumerate(_thinned(curve))
    ]
    points: Rows = [
        {
            "curve": _named_area(name, areas[name]),
            "false_positive_rate": round(1 - specificity, 4),
            "sensitivity": round(sensitivity, 4),
        }
        for name, (sensitivity, specificity) in (operating_points or {}).items()
    ]
    names = [_named_area(name, areas[name]) for name in curves]
    base = alt.Chart().encode(
        x=alt.X("false_positive_rate:Q", title="1 - specificity", **_unit()),
        y=alt.Y("sensitivity:Q", title="sensitivity", **_unit()),
        color=_two_colours("curve:N", names),
    )
    layers = [_diagonal(), base.mark_line(strokeWidth=2.5, strokeJoin="round").encode(order="step:Q")]
    if points:
        dots = base.mark_point(filled=True, size=110, opacity=1, stroke="white", strokeWidth=1.5)
        layers.append(dots.properties(data=alt.Data(values=points)))
    return _spec(layers, rows, title, subtitle, width=300, height=300)


def count_chart(
    probabilities: Mapping[str, float], *, title: str, subtitle: str = "", observed: Mapping[str, float] | None = None
) -> Spec:
    """Draw the probability of each number as an upright bar, in the order they come.

    Parameters
    ----------
    probabilities
        By the number as it stands below its bar: ``0``, ``1``, ..., ``20 or more``.
    observed
        Of the same numbers, how often each was counted: drawn as dots.
    """
    import altair as alt

    counted = observed or {}
    rows: Rows = [
        {"number": number, "probability": round(float(share), 4), "text": _short_percent(float(share))}
        for number, share in probabilities.items()
    ]
    dots: Rows = [{"number": number, "probability": round(float(share), 4)} for number, share in counted.items()]
    highest = max((row["probability"] for row in rows + dots), default=0.0) or 1.0
    base = alt.Chart().encode(
        # One word a line: "20 or more" is wider than a bar.
        x=alt.X(
            "number:N",
            title=None,
            sort=None,
            axis=alt.Axis(labelAngle=0, labelExpr="split(datum.label, ' ')", ticks=False),
        ),
        y=alt.Y(
            "probability:Q",
            title="probability",
            scale=alt.Scale(domain=[0, min(1.1 * highest, 1.0)], nice=False),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
    )
    bars = base.mark_bar(color=_BLUE, width={"band": 0.7}).encode(tooltip=["number:N", "text:N"])
    layers = [bars, base.mark_text(dy=-8, color=_INK, fontSize=11).encode(text="text:N")]
    if dots:
        mark = base.mark_point(filled=True, size=70, color=_ORANGE, opacity=1, stroke="white", strokeWidth=1)
        layers = [bars, mark.properties(data=alt.Data(values=dots))]
    return _spec(layers, rows, title, subtitle, width=max(36 * len(rows), 180), height=200)


def count_calibration_chart(
    points: Sequence[CountPoint], *, axis: str, title: str = "Calibration of the number"
) -> Spec:
    """Draw counted against expected numbers, with Student's t interval of each group.

    Parameters
    ----------
    axis
        What is counted.
    """
    import altair as alt

    rows: Rows = [
        {
            "expected": round(point.expected, 4),
            "observed": row["value"],
            # No count is below zero, whatever the interval of its mean says.
            "lower": None if row["lower"] is None else max(row["lower"], 0.0),
            "upper": row["upper"],
            "cases": point.cases,
        }
        for point in points
        for row in [point.observed.as_dict()]
    ]
    most = max((number for row in rows for number in (row["expected"], row["observed"], row["upper"] or 0)), default=0)
    top = 1.05 * float(most) or 1.0
    scale = {"scale": alt.Scale(domain=[0, top], nice=False), "axis": alt.Axis(tickCount=5)}
    base = alt.Chart().encode(x=alt.X("expected:Q", title=f"expected {axis}", **scale))
    reported = f"reported {axis}"
    intervals = base.mark_rule(color=_BLUE, opacity=0.5, strokeWidth=1.5).encode(
        y=alt.Y("lower:Q", title=reported, **scale), y2="upper:Q"
    )
    observed = alt.Y("observed:Q", title=reported, **scale)
    line = base.mark_line(color=_BLUE, strokeWidth=2).encode(y=observed)
    dots = base.mark_point(filled=True, size=70, color=_BLUE, opacity=1).encode(
        y=observed, tooltip=[alt.Tooltip("cases:Q"), alt.Tooltip("observed:Q", format=".2f")]
    )
    ideal = _rule(dashed=True, x=0, y=0, x2=top, y2=top)
    subtitle = "groups of similar expectations, with 95 % intervals; dashed: ideal"
    return _spec([ideal, intervals, line, dots], rows, title, subtitle, width=300, height=300)


def found_chart(
    found: Mapping[str, Sequence[float]], *, axis: str, title: str, subtitle: str = "", share: float | None = None
) -> Spec:
    """Draw which share is found by looking at the first 0, 1, 2, ... of a ranking.

    Parameters
    ----------
    found
        Up to three rankings by name, the last of them that of chance.
    axis
        What is looked at.
    share
        Where a dashed line marks how much is to be found.
    """
    import altair as alt

    rows: Rows = [
        {"ranking": name, "looked_at": number, "found": round(float(value), 4)}
        for name, values in found.items()
        for number, value in enumerate(values)
    ]
    names = list(found)
    lines = (
        alt.Chart()
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("looked_at:Q", title=axis, axis=alt.Axis(tickCount=6, grid=False)),
            y=alt.Y("found:Q", title="share found", **_unit()),
            color=alt.Color("ranking:N", sort=names, scale=alt.Scale(domain=names, range=[_BLUE, _ORANGE, _MUTED])),
            strokeDash=alt.StrokeDash(
                "ranking:N", sort=names, scale=alt.Scale(domain=names, range=[[1, 0], [1, 0], [2, 3]])
            ),
        )
    )
    layers = [lines] if share is None else [_rule(dashed=True, y=share), lines]
    return _spec(layers, rows, title, subtitle, width=300, height=300)


def strip_chart(values: Mapping[str, Sequence[float]], *, axis: str, title: str) -> Spec:
    """Draw the values of up to two groups as fine marks, one row a group, the first in orange, and its median as a thick one.

    A group of more than 300 values is drawn by 300 evenly spaced quantiles.
    """
    import altair as alt

    rows: Rows = [
        {"group": f"{name} (n = {len(group)})", "value": round(value, 4)}
        for name, group in values.items()
        for value in _spread(group)
    ]
    medians: Rows = [
        {"group": f"{name} (n = {len(group)})", "value": round(float(np.median(group)), 4)}
        for name, group in values.items()
        if len(group)
    ]
    groups = [f"{name} (n = {len(group)})" for name, group in values.items()]
    base = alt.Chart().encode(
        x=alt.X("value:Q", title=axis, axis=alt.Axis(tickCount=6, grid=False)),
        y=alt.Y("group:N", title=None, sort=groups, axis=alt.Axis(domain=False, ticks=False, labelLimit=210)),
        color=_two_colours("group:N", groups, colours=(_ORANGE, _BLUE), legend=False),
    )
    marks = base.mark_tick(thickness=1, opacity=0.4, size=40)
    middle = base.mark_tick(thickness=4, opacity=1, size=52).properties(data=alt.Data(values=medians))
    thinned = any(len(group) > _MOST_MARKS for group in values.values())
    subtitle = "thick: median" + (f"; of larger groups {_MOST_MARKS} evenly spaced quantiles" if thinned else "")
    return _spec([marks, middle], rows, title, subtitle, width=300, height=70 * max(len(groups), 1))


def to_svg(spec: Spec) -> str:
    """Draw a chart as an SVG element; nothing is fetched."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE_VERSION, allowed_base_urls=[]))


def format_estimate(estimate: Estimate) -> str:
    """Write an estimate as text: ``0.75 [0.59, 0.91]``, without brackets where there is no interval."""
    numbers = estimate.as_dict()
    if numbers["lower"] is None or numbers["upper"] is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.lower:.2f}, {estimate.upper:.2f}]"


def _lanes(cases: Sequence[ScoredCase]) -> list[int]:
    """Step aside for dots that would hide each other: 0, 1, -1, 2, ... within a class and a fortieth of the scale."""
    taken: dict[tuple[str, int], int] = {}
    lanes = []
    for case in cases:
        place = (case.reference, round(case.score * 40))
        before = taken.get(place, 0)
        taken[place] = before + 1
        lanes.append((before + 1) // 2 * (1 if before % 2 else -1))
    return lanes


def _thinned(curve: RocCurve) -> list[tuple[float, float]]:
    """Points of a curve, at most one for every two hundredth of the way."""
    way = np.floor((curve.false_positive_rate + curve.true_positive_rate) * _CURVE_STEPS)
    _, kept = np.unique(way, return_index=True)
    points = np.column_stack([curve.false_positive_rate[kept], curve.true_positive_rate[kept]])
    return [(round(x, 4), round(y, 4)) for x, y in points.tolist()]


def _spread(values: Sequence[float]) -> list[float]:
    """Give all values, or evenly spaced quantiles of more than can be told apart."""
    if len(values) <= _MOST_MARKS:
        return [float(value) for value in values]
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, _MOST_MARKS))]


def _named_area(name: str, area: Estimate) -> str:
    return f"{name}: AUC {format_estimate(area)}"


def _short_percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.005 else ""


def _two_colours(
    field: str, names: Sequence[str], *, colours: Sequence[str] = (_BLUE, _ORANGE), legend: bool = True
) -> alt.Color:
    """Give each of up to two names its colour."""
    import altair as alt

    return alt.Color(
        field,
        sort=list(names),
        scale=alt.Scale(domain=list(names), range=list(colours[: len(names)])),
        legend=alt.Legend(orient="top", direction="vertical") if legend else None,
    )


def _unit() -> dict[str, Any]:
    """Scale and axis of what lies between 0 and 1."""
    import altair as alt

    return {"scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".1f")}


def _diagonal() -> alt.Chart:
    return _rule(dashed=True, x=0, y=0, x2=1, y2=1)


def _vertical(at: float, *, dashed: bool = True) -> alt.Chart:
    return _rule(dashed=dashed, x=at)


def _rule(*, dashed: bool, **places: float) -> alt.Chart:
    """One line; with data of its own, or it would be drawn once for every row of the chart's."""
    import altair as alt

    mark = alt.Chart(alt.Data(values=[{}])).mark_rule(color=_MUTED, strokeDash=[4, 3] if dashed else [1, 0])
    return mark.encode(**{channel: alt.datum(place) for channel, place in places.items()})


def _spec(layers: list[alt.Chart], rows: Rows, title: str, subtitle: str, *, width: int, height: int) -> Spec:
    """Join layers that share their data; every part of the result is checked against the Vega-Lite 5 schema."""
    import altair as alt

    heading = alt.Title(title, subtitle=subtitle) if subtitle else alt.Title(title)
    chart = alt.layer(*layers, data=alt.Data(values=rows)).properties(width=width, height=height, title=heading)
    # Data taken out of their places would get names made from a hash.
    with alt.data_transformers.enable(consolidate_datasets=False):
        spec: Spec = chart.to_dict()
    return spec | {"config": _CONFIG}
