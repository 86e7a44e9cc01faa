"""Charts of whether predictions mean what they say: likelihoods, and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from preop.report.charts.base import BLUE, Rows, Spec, diagonal, rule, spec_of, unit
from preop.statistics import CalibrationPoint, CountPoint


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
    base = alt.Chart().encode(x=alt.X("predicted:Q", title="predicted likelihood", **unit()))
    observed = alt.Y("observed:Q", title="observed share", **unit())
    intervals = base.mark_rule(color=BLUE, opacity=0.5, strokeWidth=1.5).encode(
        y=alt.Y("lower:Q", title="observed share", **unit()), y2="upper:Q"
    )
    line = base.mark_line(color=BLUE, strokeWidth=2).encode(y=observed)
    dots = base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(
        y=observed, tooltip=[alt.Tooltip("cases:Q"), alt.Tooltip("observed:Q", format=".2f")]
    )
    subtitle = "groups of similar predictions, with 95 % intervals; dashed: ideal"
    return spec_of([diagonal(), intervals, line, dots], rows, title, subtitle, width=300, height=300)


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
    intervals = base.mark_rule(color=BLUE, opacity=0.5, strokeWidth=1.5).encode(
        y=alt.Y("lower:Q", title=reported, **scale), y2="upper:Q"
    )
    observed = alt.Y("observed:Q", title=reported, **scale)
    line = base.mark_line(color=BLUE, strokeWidth=2).encode(y=observed)
    dots = base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(
        y=observed, tooltip=[alt.Tooltip("cases:Q"), alt.Tooltip("observed:Q", format=".2f")]
    )
    ideal = rule(dashed=True, x=0, y=0, x2=top, y2=top)
    subtitle = "groups of similar expectations, with 95 % intervals; dashed: ideal"
    return spec_of([ideal, intervals, line, dots], rows, title, subtitle, width=300, height=300)
