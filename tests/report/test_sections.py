"""A page of sections holds what it is given, escaped, and says when patients are simulated."""

from pathlib import Path

from preop.report import Figure, Section, Table, sections_page, share_chart


def page(path: Path, *, simulated: bool = False) -> str:
    sections_page(
        path / "page.html",
        kicker="Training report",
        title="Growth <patterns>",
        lead="12 patients.",
        verdict=["It is better.", "By 0.1."],
        warnings=["Few patients."],
        simulated=simulated,
        sections=[
            Section(
                "Shares",
                paragraphs=["In words."],
                figures=[Figure("AUC", "0.81", "95 % interval 0.7 to 0.9", "of patients")],
                tables=[Table(["", "Error"], [["model", "0.12"], ["mean", "0.25"]], "Lower is better.")],
                charts=[share_chart({"a": 0.3, "b": 0.7}, axis="share", title="Shares")],
            )
        ],
    )
    return (path / "page.html").read_text()


def test_everything_that_was_given_is_there(tmp_path: Path) -> None:
    text = page(tmp_path)
    for part in ("It is better.", "By 0.1.", "Few patients.", "In words.", "0.81", "Lower is better.", "<svg", "0.25"):
        assert part in text
    assert "One warning" in text


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    assert "Growth &lt;patterns&gt;" in page(tmp_path)


def test_simulated_patients_are_named(tmp_path: Path) -> None:
    assert "Simulated patients" in page(tmp_path, simulated=True)
    assert "Simulated patients" not in page(tmp_path)
