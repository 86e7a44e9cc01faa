"""Charts of categories and numbers: tables of stages, distributions of a number, what a ranking finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preop.report.charts.base import BLUE, INK, MUTED, ORANGE, Rows, Spec, rule, spec_of, unit
from preop.statistics import Agreement

# Of a table of cases; a cell is at least as wide as its name.
_CELL, _LETTER = 64, 7


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
        color=alt.Color("cases:Q", scale=alt.Scale(domain=[0, most], range=["#f1f5f9", BLUE]), legend=None),
        tooltip=["reference:N", "predicted:N", "cases:Q"],
    )
    numbers = base.mark_text(fontSize=14).encode(
        text="cases:Q", color=alt.condition("datum.dark", alt.value("white"), alt.value(INK))
    )
    width = max(_CELL, _LETTER * max(map(len, stages), default=0)) * len(stages)
    return spec_of([squares, numbers], rows, title, "number of cases", width=width, height=_CELL * len(stages))


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
    bars = base.mark_bar(color=BLUE, width={"band": 0.7}).encode(tooltip=["number:N", "text:N"])
    layers = [bars, base.mark_text(dy=-8, color=INK, fontSize=11).encode(text="text:N")]
    if dots:
        mark = base.mark_point(filled=True, size=70, color=ORANGE, opacity=1, stroke="white", strokeWidth=1)
        layers = [bars, mark.properties(data=alt.Data(values=dots))]
    return spec_of(layers, rows, title, subtitle, width=max(36 * len(rows), 180), height=200)


def found_chart(
    found: Mapping[str, Sequence[float]], *, axis: str, title: str, subtitle: str = "", share: float | None = None
) -> Spec:
    """Draw which share is found by looking at the first 0, 1, 2, ... of a ranking.

    Parameters
    ----------
    found
        Up to three rankings by name, the last of them that of chance.
    axis
        What is reviewed.
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
            y=alt.Y("found:Q", title="share found", **unit()),
            color=alt.Color("ranking:N", sort=names, scale=alt.Scale(domain=names, range=[BLUE, ORANGE, MUTED])),
            strokeDash=alt.StrokeDash(
                "ranking:N", sort=names, scale=alt.Scale(domain=names, range=[[1, 0], [1, 0], [2, 3]])
            ),
        )
    )
    layers = [lines] if share is None else [rule(dashed=True, y=share), lines]
    return spec_of(layers, rows, title, subtitle, width=300, height=300)


def _short_percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.005 else ""
