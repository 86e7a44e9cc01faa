"""The page of a case behind the commands: made where it can be, and told where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from preop.engines.running import Run
from preop.errors import PreopError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.report.case import PAGE_FILE, Card, case_page_file


def page_told(case: Case, outputs: Path, folder: Path, model: Path) -> Card | None:
    """Write the page of a case into a folder; the outputs stand without it, so a failure is told and nothing more."""
    try:
        return case_page_file(case, outputs, folder / PAGE_FILE, model=model)
    except PreopError as error:
        typer.echo(f"No case page: {error}", err=True)
        return None


def pages_told(
    algorithm: Algorithm, cases: Mapping[str, Path], runs: Mapping[str, Run], predictions: Path, model: Path
) -> list[Card]:
    """Write the pages of the cases of a submission that ran to their end, each above its outputs."""
    told = [
        page_told(read_case(algorithm, cases[name]), predictions / name / "output", predictions / name, model)
        for name, result in runs.items()
        if result.error is None
    ]
    return [card for card in told if card is not None]
