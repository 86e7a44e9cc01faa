"""A submission on this machine: an algorithm on several cases, then the evaluation, as in a phase of a challenge."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from preop.engines.base import Engine
from preop.engines.comparison import compare_outputs, read_tolerance
from preop.engines.programs import Program, algorithm_program
from preop.engines.running import Run, run
from preop.engines.serving import Server, serve
from preop.errors import InvalidOutputError
from preop.folders import locked
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.predictions import job_item, write_predictions
from preop.grandchallenge.runtime import METRICS_FILE
from preop.grandchallenge.values import JSON, read_json
from preop.toml import read_toml

TEST_FOLDER = "test"
REFERENCE_FILE, CASE_COLUMN = "reference.csv", "case"
DESCRIPTION_FILE = "case.toml"


class Description(BaseModel):
    """Content of ``case.toml`` of a bundled case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shows: str = Field(description="what there is to see, in one sentence")
    repeats: str | None = Field(
        None, description="name of a case that shows the same; the examples leave this one out, the tests do not"
    )


@dataclass(frozen=True)
class BundledCase:
    """A case whose outputs are known: ``test/<name>/{input,expected}``, and ``ground_truth`` for the evaluation."""

    name: str
    folder: Path

    @property
    def input(self) -> Path:
        """What the program is given."""
        return self.folder / "input"

    @property
    def expected(self) -> Path:
        """What it must give."""
        return self.folder / "expected"

    @property
    def shows(self) -> str | None:
        """What there is to see, where the case was chosen to illustrate."""
        return self._description.shows if self._description else None

    @property
    def is_example(self) -> bool:
        """Whether it is not told to repeat another one."""
        return self._description is None or self._description.repeats is None

    @property
    def _description(self) -> Description | None:
        path = self.folder / DESCRIPTION_FILE
        return read_toml(path, Description) if path.is_file() else None

    @property
    def ground_truth(self) -> Path | None:
        """What the evaluation is given beside the predictions."""
        path = self.folder / "ground_truth"
        return path if path.is_dir() else None


def find_test_cases(folder: Path) -> list[BundledCase]:
    """Find the bundled cases of an algorithm or of the evaluation.

    Raises
    ------
    InvalidOutputError
        If there are none: a program without a case cannot be tested.
    """
    cases = [
        BundledCase(path.name, path) for path in sorted((folder / TEST_FOLDER).glob("*/")) if (path / "input").is_dir()
    ]
    if not cases:
        raise InvalidOutputError(f"{folder.name} has no case in {folder / TEST_FOLDER}; expected at least one.")
    return cases


def run_test_case(
    engine: Engine, program: Program, case: BundledCase, output: Path, *, model: Path | None
) -> tuple[Run, list[str]]:
    """Run a bundled case and tell, in words, how its outputs differ from what they must be."""
    result = run(engine, program, input=case.input, output=output, model=model, ground_truth=case.ground_truth)
    if result.error is not None:
        return result, [result.error]
    return result, compare_outputs(case.expected, output, read_tolerance(case.folder.parent))


def predict(
    engine: Engine, algorithm: Algorithm, cases: Mapping[str, Path], predictions: Path, *, model: Path
) -> Iterator[tuple[str, Run]]:
    """Run an algorithm on several cases and lay its outputs out as the evaluation finds them.

    The algorithm starts once and keeps its model (``invoke``) where the engine gives it a network of its own.

    Parameters
    ----------
    cases
        Input folder of each case, by its name.
    predictions
        A new folder: becomes the evaluation's input.

    Yields
    ------
    Each case's name and how its run ended. A failed run becomes a failed job.

    Raises
    ------
    InvalidOutputError
        If the algorithm does not become ready.
    """
    jobs = []
    with _ready(engine, algorithm_program(algorithm), predictions, model) as run_case:
        for name, folder in cases.items():
            output = predictions / name / "output"
            output.mkdir(parents=True)
            result = run_case(folder, output)
            jobs.append(job_of(read_case(algorithm, folder), name, error_message=result.error))
            yield name, result
    write_predictions(predictions, jobs)


@contextmanager
def _ready(engine: Engine, program: Program, beside: Path, model: Path) -> Iterator[Callable[[Path, Path], Run]]:
    """Give what runs a case from its input to its output folder: by a server, which is started again if it breaks down."""
    if not engine.own_network:
        yield lambda case, output: run(engine, program, input=case, output=output, model=model)
        return
    with ExitStack() as started:
        server: Server | None = None

        def invoke(case: Path, output: Path) -> Run:
            nonlocal server
            if server is None or server.has_ended:
                server = started.enter_context(serve(engine, program, beside, model=model))
            return server.invoke(input=case, output=output)

        yield invoke


def job_of(case: Case, pk: str, *, error_message: str | None) -> JSON:
    """Describe a case that was run here as a job of the platform."""
    names = dict.fromkeys(case.image_paths, f"{case.name}.mha")
    return job_item(case.algorithm, pk, image_names=names, values=case.values, error_message=error_message)


def write_truth(truth: Path, cases: Container[str], folder: Path) -> None:
    """Write the ground truth of these cases alone into a new folder: any other would count as missing."""
    shutil.copytree(truth, folder)
    with (truth / REFERENCE_FILE).open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        rows, columns = [row for row in table if row[CASE_COLUMN] in cases], table.fieldnames or ()
    with (folder / REFERENCE_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def evaluate(engine: Engine, program: Program, predictions: Path, ground_truth: Path, output: Path) -> JSON:
    """Run the evaluation on predictions and give the content of its ``metrics.json``.

    Raises
    ------
    InvalidOutputError
        If it fails, with its own sentence.
    """
    with locked(output):
        result = run(engine, program, input=predictions, output=output, ground_truth=ground_truth)
    if result.error is not None:
        raise InvalidOutputError(f"The evaluation failed: {result.error}")
    return read_json(output / METRICS_FILE)
