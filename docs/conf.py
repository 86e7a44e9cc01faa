"""Sphinx's settings for the site that docs/build.sh makes: the Markdown of the whole repository, and the API by docstring.

The source is read, never imported, so that building needs none of the library's packages.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "shared" / "src" / "preop"

project = "preop"
author = "the preop authors"
html_title = "preop"
html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False  # its pages are Markdown of the repository
extensions = ["myst_parser", "autoapi.extension", "sphinx.ext.napoleon"]

# GitHub's Markdown: links to headings, and images whose width is given as HTML.
myst_heading_anchors = 3
myst_enable_extensions = ["html_image"]

autoapi_dirs = [str(LIBRARY)]
# A new study, and changes to the database of reviews: nobody imports them.
autoapi_ignore = ["*/study/template/*", "*/migrations/*"]
autoapi_root = "api"
autoapi_add_toctree_entry = False
autoapi_member_order = "bysource"
autoapi_options = ["members", "imported-members", "show-inheritance", "show-module-summary"]
autoapi_python_class_content = "class"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Result"]
suppress_warnings = [
    "ref.python",  # two packages may each have their own "Settings"; the link takes one
    "autoapi.python_import_resolution",  # of constants of which one statement assigns several
]
python_maximum_signature_line_length = 100

LINK = re.compile(r"(!?)\[([^\]\[]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def _public_names() -> dict[str, set[str]]:
    """Names that each package offers as its own, by ``__all__``: they are described there, not where they are defined."""
    names = {}
    for path in LIBRARY.glob("*/__init__.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names[f"preop.{path.parent.name}"] = set(ast.literal_eval(node.value))
    return names


PUBLIC = _public_names()


def _described_elsewhere(_app: Sphinx, what: str, name: str, *_: Any) -> bool | None:
    """Leave out of a module what its package offers, so that every name has one place and one link."""
    package, parts = ".".join(name.split(".")[:2]), name.split(".")
    if what in ("class", "function", "data", "exception") and len(parts) >= 4 and parts[3] in PUBLIC.get(package, ()):
        return True
    return None


def _returns_in_prose(_app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Keep a section "Returns" that holds plain sentences as text: it would be read as a list of types."""
    for index in range(len(lines) - 2):
        if lines[index] == "Returns" and set(lines[index + 1]) == {"-"}:
            body = [line for line in lines[index + 2 :] if line]
            if body and not any(line.startswith(" ") for line in body):
                lines[index : index + 2] = ["Result", "------"]
                return


def _links_within_the_site(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to what is in the repository but not on the site (code, folders) into their words.

    A link to nothing is left as it is, and ends the build.
    """
    site, folder = Path(app.srcdir), Path(docname).parent

    def replaced(match: re.Match[str]) -> str:
        image, text, target, _ = match.groups()
        if image or "://" in target or (site / folder / target).is_file() or not (ROOT / folder / target).exists():
            return match.group()
        return text

    source[0] = LINK.sub(replaced, source[0])


def setup(app: Sphinx) -> None:
    """Connect what stands above."""
    app.connect("autoapi-skip-member", _described_elsewhere)
    app.connect("autodoc-process-docstring", _returns_in_prose, priority=100)
    app.connect("source-read", _links_within_the_site)
