"""Charts of estimates and values one below the other: intervals, contributions, shares, groups of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from preop.evidence.wording import estimate_in_words
from preop.report.charts.base import (
    BLUE,
    INK,
    ORANGE,
    ROW_HEIGHT,
    SAND,
    Rows,
    Spec,
    spec_of,
    two_colours,
    vertical,
)
from preop.statistics import Estimate

# A smaller part of a bar has no room for its number.
_SHOWN_SHARE = 0.09
# So many marks show a distribution as well as thousands.
_MAX_MARKS = 300


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
            scale=alt.Scale(domain=["raises the likelihood", "lowers the likelihood"], range=[ORANGE, BLUE]),
        ),
        tooltip=[
            alt.Tooltip("feature:N"),
            alt.Tooltip("value:N"),
            alt.Tooltip("log_odds:Q", title="log odds", format="+.3f"),
        ],
    )
    right = base.mark_text(align="left", dx=5, color=INK).encode(text="text:N").transform_filter("datum.log_odds > 0")
    left = base.mark_text(align="right", dx=-5, color=INK).encode(text="text:N").transform_filter("datum.log_odds <= 0")
    return spec_of(
        [bars, vertical(0, dashed=False), right, left],
        rows,
        title,
        subtitle,
        width=320,
        height=ROW_HEIGHT * max(len(rows), 1),
    )


def forest_chart(
    estimates: Mapping[str, Estimate], *, axis: str, title: str, subtitle: str = "", no_effect: float | None = None
) -> Spec:
    """Draw estimates one below the other with their intervals, as of the AUCs of several models.

    Parameters
    ----------
    estimates
        By the name beside them, in order from the top.
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
            "text": estimate_in_words(item),
        }
        for name, item in estimates.items()
        for row in [item.as_dict()]
    ]
    x_scale = alt.Scale(zero=False, nice=True)
    base = alt.Chart().encode(
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=420))
    )
    intervals = base.mark_rule(color=BLUE, strokeWidth=2).encode(
        x=alt.X("lower:Q", title=axis, scale=x_scale), x2="upper:Q"
    )
    values = base.mark_point(filled=True, shape="square", size=80, color=BLUE, opacity=1).encode(
        x=alt.X("value:Q", title=axis, scale=x_scale), tooltip=["name:N", "text:N"]
    )
    width = 300
    numbers = base.mark_text(align="left", color=INK).encode(x=alt.value(width + 14), text="text:N")
    layers = [intervals, values, numbers]
    if no_effect is not None:
        layers.insert(0, vertical(no_effect))
    return spec_of(layers, rows, title, subtitle, width=width, height=ROW_HEIGHT * max(len(rows), 1))


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
    bars = base.mark_bar(color=BLUE, height={"band": 0.6})
    numbers = base.mark_text(align="left", dx=5, color=INK).encode(text="text:N")
    return spec_of([bars, numbers], rows, title, subtitle, width=230, height=ROW_HEIGHT * max(len(rows), 1))


def composition_chart(
    compositions: Mapping[str, Mapping[str, float]], *, axis: str, title: str, subtitle: str = ""
) -> Spec:
    """Draw the shares of a whole as one bar divided in up to three colours, one whole below the other.

    Parameters
    ----------
    compositions
        Shares by their names, the same and in the same order for all, by the name beside the bar.
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
        color=alt.Color("part:N", scale=alt.Scale(domain=parts, range=[BLUE, ORANGE, SAND][: len(parts)])),
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
    return spec_of([bars, numbers], rows, title, subtitle, width=330, height=ROW_HEIGHT * max(len(compositions), 1))


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
        color=two_colours("group:N", groups, colours=(ORANGE, BLUE), legend=False),
    )
    marks = base.mark_tick(thickness=1, opacity=0.4, size=40)
    middle = base.mark_tick(thickness=4, opacity=1, size=52).properties(data=alt.Data(values=medians))
    thinned = any(len(group) > _MAX_MARKS for group in values.values())
    subtitle = "thick: median" + (f"; groups of more than {_MAX_MARKS} by as many quantiles" if thinned else "")
    return spec_of([marks, middle], rows, title, subtitle, width=300, height=70 * max(len(groups), 1))


def _spread(values: Sequence[float]) -> list[float]:
    """Give all values, or evenly spaced quantiles of more than a reader can distinguish."""
    if len(values) <= _MAX_MARKS:
        return [float(value) for value in values]
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, _MAX_MARKS))]
