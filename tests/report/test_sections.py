"""A page holds what it is given, escaped, in the order it comes, and says when patients are simulated."""

from pathlib import Path

from preop.report.charts import share_chart
from preop.report.sections import (
    Cell,
    Charts,
    Column,
    Figure,
    Figures,
    Heading,
    Note,
    Page,
    Row,
    Section,
    Table,
    write_page,
)
from tests.report.reading import Page as ReadPage


def page(path: Path, *, simulated: bool = False) -> str:
    content = Page(
        kicker="Training report",
        title="Growth <patterns>",
        lead="12 patients.",
        verdict=["It is better.", "By 0.1."],
        warnings=["Few patients."],
        simulated=simulated,
        sections=[
            Section(
                "Shares, and what they mean",
                [
                    "In words.",
                    Figures([Figure("AUC", "0.81", "95 % interval 0.7 to 0.9", "of patients")]),
                    Heading("A part"),
                    Table(
                        [Column("", "name"), Column("Error", "estimate"), Column("Where")],
                        [
                            Row(["model", "0.12 [0.10, 0.14]", Cell("", links=[("second", "there")])], "wrong"),
                            Row([Cell("mean", tag="baseline"), "0.25", "nowhere"]),
                        ],
                        "Lower is better.",
                    ),
                    Note("In small type."),
                    Charts([share_chart({"a": 0.3, "b": 0.7}, axis="share", title="Shares")]),
                ],
            ),
            Section("Second", ["The end."], name="second"),
        ],
    )
    write_page(content, path / "page.html")
    return (path / "page.html").read_text(encoding="utf-8")


def test_everything_that_was_given_is_there_in_its_order(tmp_path: Path) -> None:
    text = page(tmp_path)
    parts = (
        "It is better.",
        "Few patients.",
        "In words.",
        "0.81",
        "A part",
        "0.25",
        "Lower is",
        "small type",
        "<svg",
        "The end.",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "One warning" in text


def test_links_lead_to_sections_by_their_name_or_heading(tmp_path: Path) -> None:
    read = ReadPage(page(tmp_path))
    assert read.addresses == ["#shares-and-what-they-mean", "#second", "#second"]
    assert read.leads_somewhere()


def test_an_interval_is_set_below_its_value(tmp_path: Path) -> None:
    assert "0.12<br><small>[0.10, 0.14]</small>" in page(tmp_path)


def test_a_row_says_what_is_particular_about_it(tmp_path: Path) -> None:
    assert '<tr class="wrong"><td class="name">model</td>' in page(tmp_path)


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    assert "Growth &lt;patterns&gt;" in page(tmp_path)


def test_simulated_patients_are_named(tmp_path: Path) -> None:
    assert "Simulated patients" in page(tmp_path, simulated=True)
    assert "Simulated patients" not in page(tmp_path)


def test_details_are_printed_only_where_all_is_asked_for(tmp_path):
    sections = [Section("Results", ["first"]), Section("Methods", ["second"], detail=True)]
    write_page(Page("Report", "Title", "Lead.", sections), tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text()
    assert text.count('<section class="detail">') == 1
    assert 'id="whole"' in text
    write_page(Page("Report", "Title", "Lead.", sections[:1]), tmp_path / "one.html")
    assert 'id="whole"' not in (tmp_path / "one.html").read_text()
