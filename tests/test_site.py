"""The site of all documentation: ``docs/build.sh`` takes minutes; what it would refuse at once is found here."""

from __future__ import annotations

import fnmatch
import re

from tests.conftest import ROOT

SITE = (ROOT / "docs" / "site.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_contents_of_the_site() -> None:
    contents = [re.sub(r".*<(.*)>", r"\1", line) for line in SITE.splitlines()]
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "docs").glob("*.md")}
    missing = [
        page for page in pages - {"docs/site"} if not any(fnmatch.fnmatch(page, each) for each in contents if each)
    ]
    assert sorted(missing) == []


def test_every_page_in_the_contents_is_there() -> None:
    named = re.findall(r"^(?:.*<)?((?:docs|requirements|evaluation)/[\w./-]+)>?$", SITE, flags=re.MULTILINE)
    assert len(named) > 20
    assert [page for page in named if not (ROOT / f"{page}.md").is_file()] == []
