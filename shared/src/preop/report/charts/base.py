"""Charts as Vega-Lite 5 specifications, the form in which grand-challenge.org shows them, and as SVG for pages.

Each chart is complete and small: its data are part of it, its size is fixed, and the same numbers give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from preop.report.charts.lettering import with_widths

if TYPE_CHECKING:
    import altair as alt

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

VEGA_LITE_VERSION = "5.20"

# Blue and orange stay apart for readers with any common colour blindness.
BLUE, ORANGE = "#2b6a99", "#c8591c"
SAND = "#8f8250"
FONT = "Helvetica, Arial, sans-serif"
"""As charts are laid out: ``preop.report.charts.lettering``."""
INK, MUTED, LINE = "#1f2937", "#64748b", "#e2e8f0"
_CONFIG: dict[str, Any] = {
    "background": "white",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "#94a3b8",
        "gridColor": LINE,
        "labelColor": INK,
        "labelFlush": False,
        "labelFontSize": 12,
        "labelPadding": 8,
        "tickColor": "#94a3b8",
        "titleColor": MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 0,
        "orient": "top",
        "title": None,
        "symbolSize": 90,
    },
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 15,
        "frame": "group",
        "offset": 14,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
    },
}
ROW_HEIGHT = 26


def to_svg(spec: Spec) -> str:
    """Draw a chart as an SVG element; nothing is fetched."""
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE_VERSION, allowed_base_urls=[])
    return with_widths(str(drawn))


def two_colours(
    field: str, names: Sequence[str], *, colours: Sequence[str] = (BLUE, ORANGE), legend: bool = True
) -> alt.Color:
    """Give each of up to two names its colour."""
    import altair as alt

    return alt.Color(
        field,
        sort=list(names),
        scale=alt.Scale(domain=list(names), range=list(colours[: len(names)])),
        legend=alt.Legend(orient="top", direction="vertical") if legend else None,
    )


def unit() -> dict[str, Any]:
    """Scale and axis of what lies between 0 and 1."""
    import altair as alt

    return {"scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".1f")}


def diagonal() -> alt.Chart:
    """Draw the dashed line from 0, 0 to 1, 1."""
    return rule(dashed=True, x=0, y=0, x2=1, y2=1)


def vertical(at: float, *, dashed: bool = True) -> alt.Chart:
    """Draw an upright line."""
    return rule(dashed=dashed, x=at)


def rule(*, dashed: bool, **places: float) -> alt.Chart:
    """One line; with data of its own, or it would be drawn once for every row of the chart's."""
    import altair as alt

    mark = alt.Chart(alt.Data(values=[{}])).mark_rule(color=MUTED, strokeDash=[4, 3] if dashed else [1, 0])
    return mark.encode(**{channel: alt.datum(place) for channel, place in places.items()})


def spec_of(
    layers: list[alt.Chart], rows: Rows, title: str, subtitle: str | list[str], *, width: int, height: int
) -> Spec:
    """Join layers that share their data; every part of the result is checked against the Vega-Lite 5 schema."""
    import altair as alt

    heading = alt.Title(title, subtitle=subtitle) if subtitle else alt.Title(title)
    chart = alt.layer(*layers, data=alt.Data(values=rows)).properties(width=width, height=height, title=heading)
    # Data taken out of their places would get names made from a hash.
    with alt.data_transformers.enable(consolidate_datasets=False):
        spec: Spec = chart.to_dict()
    return spec | {"config": _CONFIG}
