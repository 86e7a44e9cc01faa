"""Charts of the time to an event."""

from __future__ import annotations

from collections.abc import Mapping

from preop.report.charts.base import BLUE, ORANGE, Rows, Spec, spec_of, unit
from preop.statistics import SurvivalCurve


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
    color = alt.Color("group:N", sort=groups, scale=alt.Scale(domain=groups, range=[ORANGE, BLUE]))
    base = alt.Chart().encode(x=alt.X("years:Q", title="years"), color=color)
    free = alt.Y("free:Q", title="free of the event", **unit())
    shade = base.mark_area(opacity=0.14, interpolate="step-after").encode(
        y=alt.Y("lower:Q", title="free of the event", **unit()), y2="upper:Q"
    )
    line = base.mark_line(strokeWidth=2.5, interpolate="step-after").encode(y=free)
    return spec_of([shade, line], rows, title, subtitle, width=300, height=270)
