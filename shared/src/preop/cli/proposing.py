"""``preop cohort``: a cohort table proposed from the files that there are."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from preop.cli import repository
from preop.cli.app import app, console
from preop.cli.options import AlgorithmName
from preop.errors import InvalidInputError
from preop.wording import counted


@app.command()
def cohort(
    algorithm: AlgorithmName,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images of all patients, as they are.")],
    clinical: Annotated[Path | None, typer.Option(help="Table with a column patient, and what else is known.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The table to write, such as FOLDER/cohort.csv; without it, nothing is written.")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG=PATTERN", help="What files are, as in ct-image={patient}/ct.nii.gz; may be repeated."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN",
            help="Which column of the clinical table it is, as in age_years=Age; may be repeated.",
        ),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:VALUE=MEANING", help="What a value means, as in sex:F=female; may be repeated."),
    ] = None,
) -> None:
    """Propose a cohort table from the names of files: which were matched, by which pattern, and what was not understood.

    Examples: `preop cohort sarcoma_lung_metastasis hospital` shows what was found;
    `preop cohort sarcoma_lung_metastasis hospital --clinical clinical.xlsx --output hospital/cohort.csv` writes the table
    """
    from preop.cohort.proposal import propose_cohort

    described = repository.find_algorithm(algorithm)
    patterns: dict[str, list[str]] = defaultdict(list)
    for slug, pattern in _pairs(files, "--files SLUG=PATTERN"):
        patterns[slug].append(pattern)
    meanings = {}
    for place, meaning in _pairs(value, "--value NAME:VALUE=MEANING"):
        name, colon, written = place.partition(":")
        if not colon:
            raise InvalidInputError(f"--value {place}={meaning} names no column; expected NAME:VALUE=MEANING.")
        meanings[name, written] = meaning
    proposal = propose_cohort(
        folder,
        described,
        clinical=clinical,
        files=patterns,
        columns=dict(_pairs(column, "--column NAME=COLUMN")),
        values=meanings,
    )
    shown = Table("pattern", "files", "taken for")
    for each in proposal.patterns:
        shown.add_row(each.form, str(len(each.files)), each.slug or "[yellow]left out")
    console.print(shown)
    for remark in proposal.remarks:
        console.print(f"- {remark}", soft_wrap=True, markup=False, highlight=False)
    if output is None:
        console.print(
            f"{counted(len(proposal.rows), 'patient')}. Nothing is written: name the table by --output.", soft_wrap=True
        )
    else:
        proposal.write(output, described)
        console.print(f"{counted(len(proposal.rows), 'patient')}: {output}", soft_wrap=True)


def _pairs(words: list[str] | None, form: str) -> list[tuple[str, str]]:
    pairs = []
    for word in words or ():
        name, equals, rest = word.partition("=")
        if not (name and equals and rest):
            raise InvalidInputError(f"{word} is not of the form {form}.")
        pairs.append((name, rest))
    return pairs
