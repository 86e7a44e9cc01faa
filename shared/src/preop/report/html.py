"""Pages from templates: every value escaped, every chart inside."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import preop
from preop.report.charts import Spec, to_svg

if TYPE_CHECKING:
    from markupsafe import Markup


def inline(chart: Spec) -> Markup:
    """Draw a chart as markup: the drawing program has escaped the text in it."""
    from markupsafe import Markup

    return Markup(to_svg(chart))  # noqa: S704


def asset(name: str) -> str:
    """Read a style sheet or a script of this package."""
    return resources.files("preop.report").joinpath("templates", name).read_text(encoding="utf-8")


def render(template: str, **content: Any) -> str:
    """Fill a template of this package; a name that it asks for and does not get is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("preop.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment.get_template(template).render(version=preop.__version__, inline=inline, **content)
