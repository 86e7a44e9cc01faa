"""The page of the predictions of a cohort without reference: what was said of each patient, and nothing about how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preop.cohort import Answers, Cohort
from preop.cohort.answers import answer_sockets
from preop.cohort.table import PATIENT_COLUMN
from preop.grandchallenge.algorithm import Kind, Socket
from preop.report.blocks import capital, number
from preop.report.case import Card, gallery
from preop.report.sections import Block, Column, Links, Note, Page, Row, Section, Table, write_page
from preop.study import model_provenance
from preop.wording import counted

NO_REFERENCE = (
    "Without a reference standard nothing can be said about how often this is right: preop validate does so once pathology or "
    "follow-up is known."
)


def predictions_page(
    cohort: Cohort, answers: Answers, cards: Mapping[str, Card], table: Path, path: Path, *, model: Path
) -> None:
    """Write the page.

    Parameters
    ----------
    cards
        Of the patients that have a page, by name.
    table
        The file that holds the answers.
    path
        The HTML file to write.
    model
        Folder of the model.
    """
    failed = [row for row in answers.rows if "error" in row]
    unsure = [row for row in answers.rows if row.get("assessable", "yes") != "yes"]
    algorithm = cohort.algorithm
    page = Page(
        kicker=f"Predictions of {algorithm.name} {algorithm.version}",
        title=algorithm.title,
        lead=f"{counted(len(answers.rows), 'patient')}. {NO_REFERENCE}",
        warnings=[
            *([f"{counted(len(failed), 'patient')} could not be run; the reasons are in the table."] if failed else []),
            *(
                [f"{counted(len(unsure), 'patient')} could be assessed with reservations, or not at all."]
                if unsure
                else []
            ),
        ],
        simulated=bool(cohort.source.simulated),
        sections=[
            *([Section("Case by case", [gallery(cards.values(), path)])] if cards else []),
            Section("Table", _table(cohort, answers, table, path)),
        ],
        provenance=[*model_provenance(model), ("SHA-256 of the cohort table", cohort.sha256)],
    )
    write_page(page, path)


def _table(cohort: Cohort, answers: Answers, table: Path, path: Path) -> list[Block]:
    sockets = answer_sockets(cohort.algorithm)
    columns = [Column("Patient", "name"), *(Column(capital(socket.slug.replace("-", " "))) for socket in sockets)]
    columns += [Column("Assessable"), Column("Why not, or why with reservations", "long")]
    rows = [
        Row(
            [
                row[PATIENT_COLUMN],
                *(_shown(row.get(socket.slug, ""), socket) for socket in sockets),
                row.get("assessable", ""),
                row.get("error") or row.get("assessable_reasons", ""),
            ],
            "unscored" if "error" in row else "",
        )
        for row in answers.rows
    ]
    return [
        Table(columns, rows),
        Links([(table.relative_to(path.parent).as_posix(), table.name)]),
        Note("The file holds the same with all digits, the threshold of the model, and the warnings."),
    ]


def _shown(cell: str, socket: Socket) -> str:
    return number(float(cell)) if cell and socket.kind is Kind.FLOAT else cell
