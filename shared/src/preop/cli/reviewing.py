"""The command ``preop review``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from preop.cli import repository
from preop.cli.app import app, console


@app.command()
def review(
    cohort: Annotated[Path, typer.Argument(help="cohort.csv: one row a patient; a mask may be missing.")],
    study: Annotated[
        str | None, typer.Option(help="Algorithm whose columns the table has; found by them if not given.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Output of preop validate: its nodes, lesions and maps are shown.")
    ] = None,
    reader_study: Annotated[  # noqa: FBT002
        bool, typer.Option("--reader-study", help="Results are shown to a reader after an answer of their own.")
    ] = False,
    network: Annotated[
        list[Path] | None, typer.Option(help="Folder of an nnU-Net (plans.json) that proposes masks; may be repeated.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model folder whose networks, listed by preop register, propose masks.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Where masks are saved; by default beside the originals.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the review; by default cohort.review beside the table.")
    ] = None,
    database: Annotated[
        str, typer.Option(help="Address, such as postgresql+psycopg://me@host/review; by default SQLite in the folder.")
    ] = "",
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8790,
    write_cohort: Annotated[
        Path | None, typer.Option(help="Write a cohort.csv of the approved patients with their masks, and end.")
    ] = None,
    write_agreement: Annotated[
        Path | None, typer.Option(help="Write Dice and surface distance between reviewers, and end.")
    ] = None,
    write_readings: Annotated[
        Path | None, typer.Option(help="Write the readers' answers before and after the result, and end.")
    ] = None,
    write_history: Annotated[Path | None, typer.Option(help="Write every change with who and when, and end.")] = None,
) -> None:
    """See the masks of a cohort in the browser; approve, correct or draw them.

    Examples: `preop review hospital/cohort.csv` prints an address to open;
    `preop review hospital/cohort.csv --results validation --reader-study` hides results until a reader has answered;
    `preop review hospital/cohort.csv --write-cohort hospital/approved.csv` writes what `preop train` takes
    """
    from preop.review.start import Options, Tables, serve_review, write_tables

    named = repository.find_algorithm(study) if study else None
    options = Options(
        study=named,
        results=results,
        reader_study=reader_study,
        networks={path.name: path for path in network or ()},
        model=model,
        masks=masks,
        folder=folder,
        database=database,
    )
    studies = repository.studies()
    wanted = Tables(write_cohort, write_agreement, write_readings, write_history)
    if wanted.any:
        for sentence in write_tables(cohort, studies, options, wanted):
            console.print(sentence, soft_wrap=True)
    else:
        serve_review(
            cohort, studies, options, host=host, port=port, tell=functools.partial(console.print, soft_wrap=True)
        )
