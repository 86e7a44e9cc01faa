"""One case through an algorithm, as the user asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from preop.atomic import staging
from preop.cli.app import console
from preop.cli.printing import memory
from preop.cli.programs import engine_told
from preop.engines.choosing import EngineChoice
from preop.engines.programs import algorithm_program
from preop.engines.running import run
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.handing_over import hand_over
from preop.grandchallenge.options import Options

if TYPE_CHECKING:
    from preop.report.case import Card


@dataclass(frozen=True)
class Chosen:
    """How an algorithm is run: by which engine and model, and what the user says of it."""

    algorithm: Algorithm
    engine: EngineChoice
    model: Path | None
    options: Options

    def run(self, case: Case, folder: Path | None, output: Path, *, kept: bool = True) -> Card | None:
        """Run one case, and write its page where that can be done.

        Parameters
        ----------
        folder
            Where the case lies as the platform's ``/input``; None where its files lie anywhere.
        kept
            Whether the outputs stay where they are, so that the user is told where.

        Raises
        ------
        InvalidInputError
            If the algorithm refuses the case.
        InvalidOutputError
            If the output folder is not empty.
        """
        from preop.cli.pages import page_told
        from preop.folders import is_empty, locked

        if not is_empty(output):
            raise InvalidOutputError(f"{output} is not empty: name a new folder, so that nothing is overwritten.")
        program, model = algorithm_program(self.algorithm), self.model or self.algorithm.folder / "model"
        engine = engine_told(program, self.engine)
        with locked(output), _input_folder(case, folder, output) as given:
            result = run(engine, program, input=given, output=output, model=model, options=self.options)
        if result.error is not None:
            if result.details:
                typer.echo(result.details, err=True)
            raise InvalidInputError(result.error)
        took = f"{result.seconds:.1f} s, {memory(result.peak_memory_mb)}."
        console.print(f"{took} The outputs are in {output}" if kept else took, soft_wrap=True)
        page = page_told(case, output, output, model)
        if page is not None and kept:
            console.print(f"Case page: {page.page}", soft_wrap=True)
        return page


@contextmanager
def _input_folder(case: Case, folder: Path | None, output: Path) -> Iterator[Path]:
    """Give what the program finds as ``/input``: the user's folder, or one into which the files were laid."""
    if folder is not None:
        yield folder
        return
    with staging(output.absolute()) as made:
        made.chmod(0o755)
        hand_over(case, made)
        yield made
