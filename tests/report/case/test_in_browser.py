"""The pages in a real browser: rows and pictures lead to their slices, nothing is asked for, and paper takes two sheets."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import read_case
from preop.report.case import case_page_file, print_page
from tests.report.case.test_bundled_pages import ALGORITHMS, CASES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for study, (case, *_) in CASES.items():
        place = ALGORITHMS / study / "test" / case
        given = read_case(read_algorithm(ALGORITHMS / study), place / "input")
        case_page_file(given, place / "expected", folder / f"{study}.html")
    return {study: folder / f"{study}.html" for study in CASES}


@pytest.mark.parametrize("width", [1400, 500])
@pytest.mark.parametrize("study", CASES)
def test_every_row_and_picture_leads_to_what_it_names(
    browser: Any, page_files: dict[str, Path], study: str, width: int
) -> None:
    page, problems = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request", lambda request: problems.append(request.url) if request.url[:5] not in {"file:", "data:"} else None
    )
    page.goto(page_files[study].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for target in page.query_selector_all("tr[data-go], .picture a"):
        target.click()
        where = page.query_selector(f"#{target.get_attribute('data-go') or target.get_attribute('href')[1:]}")
        if position := where.query_selector(".position"):
            assert position.text_content().startswith(f"slice {int(target.get_attribute('data-slice')) + 1} of ")
        assert page.query_selector("path.on") is not None
    for stack in page.query_selector_all("figure.stack"):
        before = stack.query_selector(".position").text_content()
        stack.focus()
        page.keyboard.press("ArrowDown")
        assert stack.query_selector(".position").text_content() != before
        for box in stack.query_selector_all('input[type="checkbox"]'):
            box.uncheck()
        assert len(stack.query_selector_all(".outlines path:not(.on)")) == 0
    page.close()
    assert problems == []


@pytest.mark.parametrize("study", CASES)
def test_a_page_is_printed_on_two_sheets(page_files: dict[str, Path], study: str, browser: Any, tmp_path: Path) -> None:
    print_page(page_files[study], tmp_path / "case.pdf")
    content = (tmp_path / "case.pdf").read_bytes()
    assert re.findall(rb"/Type\s*/Pages\b[^>]*?/Count\s+(\d+)", content) == [b"2"]
