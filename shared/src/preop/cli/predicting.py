"""``preop predict``: a model on many patients whose outcome is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preop.cli import repository
from preop.cli.app import app, console
from preop.cli.failures import refuse_failures
from preop.cli.options import AlgorithmName, CohortOption, EngineOption, ModelOption, TrustOption
from preop.cli.programs import engine_told
from preop.engines.programs import algorithm_program
from preop.grandchallenge.options import Options

TABLE, PAGE = "predictions.csv", "index.html"


@app.command()
def predict(
    algorithm: AlgorithmName,
    cohort: CohortOption,
    output: Annotated[Path, typer.Option(help="A new folder, or one that the same call began.")],
    model: ModelOption = None,
    engine: EngineOption = "auto",
    trust_model: TrustOption = False,  # noqa: FBT002
) -> None:
    """Run a model on many patients without a reference standard: a table, a page of each case, and one that leads to all.

    Example: `preop predict sarcoma_lung_metastasis --cohort hospital/cohort.csv --output predictions`
    """
    from preop.cohort import answers_of, predict_cohort, read_cohort, tell
    from preop.report.case import cohort_pages
    from preop.report.predictions import predictions_page

    described = repository.find_algorithm(algorithm)
    patients, used = read_cohort(cohort, described), model or described.folder / "model"
    chosen = engine_told(algorithm_program(described), engine)
    outcome = predict_cohort(patients, used, output, task=None, engine=chosen, options=Options(trust_model=trust_model))
    tell(outcome.notes)
    answers = answers_of(patients, outcome)
    answers.write(output / TABLE)
    cards, without = cohort_pages(patients, outcome.folders, output / "cases", model=used)
    tell([f"No case page of {name}: {reason}" for name, reason in without.items()])
    predictions_page(patients, answers, cards, output / TABLE, output / PAGE, model=used)
    console.print(f"Table: {output / TABLE}", soft_wrap=True)
    console.print(f"Page: {output / PAGE}", soft_wrap=True)
    refuse_failures(outcome, output)
