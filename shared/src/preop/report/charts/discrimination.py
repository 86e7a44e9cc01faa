"""Charts of how well a yes or no is predicted: ROC curves, scores of cases, and the use of acting on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from preop.evidence.wording import estimate_in_words
from preop.report.charts.base import (
    BLUE,
    MUTED,
    ORANGE,
    Rows,
    Spec,
    diagonal,
    rule,
    spec_of,
    two_colours,
    unit,
    vertical,
)
from preop.statistics import DecisionCurve, Estimate, RocBand, RocCurve

if TYPE_CHECKING:
    import altair as alt

# Of a chart that draws every case: more than fill it lie on top of each other.
_MAX_ROW_HEIGHT = 160
# A curve has no more points than a page can show.
_CURVE_STEPS = 200


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


def roc_chart(
    curve: RocCurve,
    area: Estimate,
    *,
    operating_point: tuple[float, float] | None = None,
    band: RocBand | None = None,
    title: str = "ROC curve",
) -> Spec:
    """Draw a ROC curve with its area, and the operating point (sensitivity, specificity) and a band where there are any."""
    import altair as alt

    rows: Rows = [
        {"step": step, "false_positive_rate": round(float(x), 4), "sensitivity": round(float(y), 4)}
        for step, (x, y) in enumerate(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    ]
    base = alt.Chart().encode(
        x=alt.X("false_positive_rate:Q", title="1 - specificity", **unit()),
        y=alt.Y("sensitivity:Q", title="sensitivity", **unit()),
    )
    line = base.mark_line(color=BLUE, strokeWidth=2.5, strokeJoin="round").encode(order="step:Q")
    layers = [diagonal(), line]
    if band is not None:
        layers.insert(1, _shade(base, band))
    if operating_point is not None:
        sensitivity, specificity = operating_point
        point = {"false_positive_rate": round(1 - specificity, 4), "sensitivity": round(sensitivity, 4)}
        layers.append(
            base.mark_point(filled=True, size=110, color=ORANGE, opacity=1, stroke="white", strokeWidth=1.5)
            .encode(tooltip=[alt.Tooltip("sensitivity:Q", format=".2f")])
            .properties(data=alt.Data(values=[point]))
        )
    subtitle: str | list[str] = f"AUC {estimate_in_words(area)}" + (
        "; dot: at the stated threshold" if operating_point else ""
    )
    if band is not None:
        subtitle = [str(subtitle), "shaded: 95 % interval of the sensitivity"]
    return spec_of(layers, rows, title, subtitle, width=300, height=300)


def _shade(base: alt.Chart, band: RocBand) -> alt.Chart:
    import altair as alt

    columns = np.column_stack([band.false_positive_rate, band.lower, band.upper])
    rows: Rows = [
        {"false_positive_rate": round(x, 4), "lower": round(low, 4), "upper": round(high, 4)}
        for x, low, high in columns.tolist()
        if np.isfinite([low, high]).all()
    ]
    return (
        base.mark_area(color=BLUE, opacity=0.16)
        .encode(y=alt.Y("lower:Q", title="sensitivity", **unit()), y2="upper:Q")
        .properties(data=alt.Data(values=rows))
    )


def precision_chart(
    sensitivity: Sequence[float], precision: Sequence[float], average: Estimate, prevalence: float
) -> Spec:
    """Draw precision against sensitivity, with the prevalence, which chance reaches, as a dashed line."""
    return _line_chart(
        list(zip(sensitivity, precision, strict=True)),
        axes=("sensitivity", "precision (positive predictive value)"),
        title="Precision and sensitivity",
        subtitle=[f"average precision {estimate_in_words(average)}", f"dashed: chance, {prevalence:.2f}"],
        dashed_at=prevalence,
    )


def froc_chart(false_marks: Sequence[float], sensitivity: Sequence[float], average: Estimate) -> Spec:
    """Draw the share of lesions found against the number of false marks a case."""
    return _line_chart(
        list(zip(false_marks, sensitivity, strict=True)),
        axes=("false marks a case", "sensitivity (share of lesions found)"),
        title="Free-response ROC curve",
        subtitle=f"average precision {estimate_in_words(average)}",
        widest=max(1.0, *false_marks),
    )


def _line_chart(
    points: Sequence[tuple[float, float]],
    *,
    axes: tuple[str, str],
    title: str,
    subtitle: str | list[str],
    dashed_at: float | None = None,
    widest: float = 1.0,
) -> Spec:
    """Draw one curve whose heights lie between 0 and 1."""
    import altair as alt

    rows: Rows = [{"step": step, "x": round(x, 4), "y": round(y, 4)} for step, (x, y) in enumerate(points)]
    across = unit() if widest == 1 else {"scale": alt.Scale(domain=[0, widest]), "axis": alt.Axis(tickCount=6)}
    line = (
        alt.Chart()
        .mark_line(color=BLUE, strokeWidth=2.5, strokeJoin="round")
        .encode(x=alt.X("x:Q", title=axes[0], **across), y=alt.Y("y:Q", title=axes[1], **unit()), order="step:Q")
    )
    dashed = [] if dashed_at is None else [rule(dashed=True, x=0, y=dashed_at, x2=widest, y2=dashed_at)]
    return spec_of([*dashed, line], rows, title, subtitle, width=300, height=300)


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
            x=alt.X("score:Q", title="likelihood", **unit()),
            y=alt.Y(
                "reference:N", title=reference_title, sort=classes, axis=alt.Axis(domain=False, ticks=False, grid=True)
            ),
            yOffset=alt.YOffset("lane:Q", scale=alt.Scale(domain=[-deepest, deepest])),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=shown, range=[BLUE if kind == kinds[True] else ORANGE for kind in shown]),
                legend=alt.Legend() if len(shown) > 1 else None,
            ),
            tooltip=[alt.Tooltip("case:N"), alt.Tooltip("score:Q", format=".3f")],
        )
    )
    layers = [dots]
    subtitle = "one dot per case"
    if threshold is not None:
        layers.insert(0, vertical(threshold))
        subtitle += f"; dashed: the stated threshold, {threshold:.2f}"
    row_height = min(max(110, 20 * deepest), _MAX_ROW_HEIGHT)
    return spec_of(layers, rows, title, subtitle, width=300, height=row_height * max(len(classes), 1))


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
    base = alt.Chart().encode(x=alt.X("false_positive_rate:Q", title="1 - specificity", **unit()))
    shade = base.mark_area(color=BLUE, opacity=0.16).encode(
        y=alt.Y("lower:Q", title="sensitivity", **unit()), y2="upper:Q"
    )
    line = base.mark_line(color=BLUE, strokeWidth=2.5).encode(y=alt.Y("sensitivity:Q", title="sensitivity", **unit()))
    words = f"AUC {estimate_in_words(area)}" + (f"; {subtitle}" if subtitle else "")
    return spec_of([diagonal(), shade, line], rows, title, words, width=300, height=300)


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
            x=alt.X("threshold:Q", title="risk at which one would act", axis=alt.Axis(format=".1f", tickCount=6)),
            y=alt.Y("benefit:Q", title="net benefit", scale=alt.Scale(domain=[bottom, top * 1.05], nice=False)),
            color=alt.Color(
                "acting:N", sort=list(lines), scale=alt.Scale(domain=list(lines), range=[BLUE, ORANGE, MUTED])
            ),
            strokeDash=alt.StrokeDash(
                "acting:N", sort=list(lines), scale=alt.Scale(domain=list(lines), range=[[1, 0], [6, 3], [2, 3]])
            ),
        )
    )
    return spec_of(
        [chart], rows, title, "true positives per patient, less the weighted false positives", width=300, height=270
    )


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
        By the name beside them.
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
        x=alt.X("false_positive_rate:Q", title="1 - specificity", **unit()),
        y=alt.Y("sensitivity:Q", title="sensitivity", **unit()),
        color=two_colours("curve:N", names),
    )
    layers = [diagonal(), base.mark_line(strokeWidth=2.5, strokeJoin="round").encode(order="step:Q")]
    if points:
        dots = base.mark_point(filled=True, size=110, opacity=1, stroke="white", strokeWidth=1.5)
        layers.append(dots.properties(data=alt.Data(values=points)))
    return spec_of(layers, rows, title, subtitle, width=300, height=300)


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


def _named_area(name: str, area: Estimate) -> str:
    return f"{name}: AUC {estimate_in_words(area)}"
