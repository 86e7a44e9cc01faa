"""Text in charts takes the room that it was laid out with, in whatever font it is drawn."""

import re

import pytest

from preop.report.charts import forest_chart, to_svg
from preop.report.charts.base import FONT, VEGA_LITE_VERSION
from preop.report.charts.lettering import width_of
from preop.statistics import Estimate


@pytest.mark.parametrize("weight", ["normal", "bold"])
@pytest.mark.parametrize(
    "text",
    ["Discrimination of all models", "0.70 [0.52, 0.93] \N{EN DASH} (T4b) ≥ 8 \N{MULTIPLICATION SIGN} \N{MINUS SIGN}2"],
)
def test_widths_are_those_of_the_layout(text: str, weight: str) -> None:
    import vl_convert

    def drawn(title: str) -> float:
        heading = {"text": title, "anchor": "start", "fontSize": 20, "fontWeight": weight}
        spec = {"data": {"values": [{}]}, "mark": "point", "width": 1, "height": 1, "title": heading}
        svg = vl_convert.vegalite_to_svg(
            spec | {"config": {"font": FONT}}, vl_version=VEGA_LITE_VERSION, allowed_base_urls=[]
        )
        return float(re.search(r'<svg[^>]* width="([\d.]+)"', svg)[1])

    assert width_of(text * 2, 20, bold=weight == "bold") == pytest.approx(drawn(text * 4) - drawn(text * 2), rel=0.02)


def test_every_text_of_a_chart_says_its_width() -> None:
    chart = forest_chart(
        {"CT & PET": Estimate(0.7, 0.5, 0.9)}, axis="AUC", title="All", subtitle="of them", no_effect=0.5
    )
    svg = to_svg(chart)
    texts = re.findall(r"<(?:text|tspan)( [^>]*)?>([^<]+)", svg)
    assert {"CT &amp; PET", "AUC", "All", "of them", "0.70 [0.50, 0.90]"} <= {text for _, text in texts}
    assert all("textLength=" in attributes for attributes, _ in texts)
