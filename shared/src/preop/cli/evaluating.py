"""``preop evaluate``: predictions that exist against their reference, as a submission or as two tables."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from preop.cli import repository
from preop.cli.app import app, console
from preop.cli.options import EngineOption
from preop.cli.programs import engine_told
from preop.engines.base import Engine
from preop.engines.programs import Program, evaluation_program
from preop.engines.tables import TableKind, TablesTask, lay_out_tables
from preop.errors import InvalidInputError
from preop.tables import is_table

PAGE = "results.html"
_TABLES = "Two tables"


@app.command(name="evaluate")
def evaluate_predictions(
    predictions: Annotated[
        Path,
        typer.Option(
            help="A table with one row a case; or a folder with predictions.json and the outputs of its jobs."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for metrics.json and the result page.")],
    ground_truth: Annotated[
        Path | None, typer.Option(help="Of a folder of predictions: folder with task.toml and reference.csv.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Of a table of predictions: table of the truth.", rich_help_panel=_TABLES)
    ] = None,
    kind: Annotated[
        TableKind | None,
        typer.Option(
            help="binary: likelihoods against 0 and 1; ordinal: stages against stages.", rich_help_panel=_TABLES
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Likelihood from which on a case is called positive, unless the predictions have a column decision_threshold.",
            rich_help_panel=_TABLES,
        ),
    ] = None,
    stages: Annotated[
        str, typer.Option(help="Of an ordinal task, in their order: N0,N1,N2,N3", rich_help_panel=_TABLES)
    ] = "",
    prediction_column: Annotated[
        str | None, typer.Option(help="By default the only one that can be meant.", rich_help_panel=_TABLES)
    ] = None,
    reference_column: Annotated[
        str | None, typer.Option(help="By default the only one that can be meant.", rich_help_panel=_TABLES)
    ] = None,
    simulated: Annotated[  # noqa: FBT002
        bool, typer.Option("--simulated", help="The patients are simulated.", rich_help_panel=_TABLES)
    ] = False,
    engine: EngineOption = "auto",
) -> None:
    """Score predictions against their reference, as the evaluation of a challenge does.

    Examples: `preop evaluate --predictions p.csv --reference r.csv --kind binary --threshold 0.4 --output evaluation`, for two
    tables whose rows are named by a column case (or patient);
    `preop evaluate --predictions submission --ground-truth ground_truth --output evaluation`, for a submission
    """
    from preop.cohort import tell

    judge = evaluation_program(repository.evaluation_folder())
    if not is_table(predictions):
        if ground_truth is None:
            raise InvalidInputError(
                f"{predictions} is no table: a folder of predictions is judged by --ground-truth, a table by --reference."
            )
        _evaluate(engine_told(judge, engine), judge, predictions, ground_truth, output)
        return
    if reference is None or kind is None:
        lacks = "--reference TABLE" if reference is None else "--kind binary or --kind ordinal"
        raise InvalidInputError(f"{predictions.name} is a table of predictions, and {lacks} is needed to judge it.")
    task = TablesTask(
        kind=kind,
        stages=[stage.strip() for stage in stages.split(",") if stage.strip()],
        threshold=threshold,
        prediction_column=prediction_column,
        reference_column=reference_column,
        simulated=simulated,
    )
    with tempfile.TemporaryDirectory() as folder:
        laid_out, truth, notes = lay_out_tables(predictions, reference, task, Path(folder))
        tell(notes)
        _evaluate(engine_told(judge, engine), judge, laid_out, truth, output)


def _evaluate(judging: Engine, judge: Program, predictions: Path, ground_truth: Path, output: Path) -> None:
    from preop.engines.submissions import evaluate
    from preop.report.evaluation import evaluation_page

    output.mkdir(parents=True, exist_ok=True)
    metrics = evaluate(judging, judge, predictions, ground_truth, output)
    evaluation_page(metrics, output / PAGE)
    console.print(f"Result page: {output / PAGE}", soft_wrap=True)
