"""``preop examples``: every algorithm on its bundled examples, their evaluation, and the pages of both."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from preop.cli import repository
from preop.cli.pages import pages_told
from preop.cli.printing import memory, shown
from preop.cli.programs import engine_told
from preop.engines.base import Engine
from preop.engines.choosing import EngineChoice
from preop.engines.programs import Program, algorithm_program, evaluation_program
from preop.engines.running import Run
from preop.engines.submissions import BundledCase, evaluate, find_test_cases, predict, write_truth
from preop.grandchallenge.algorithm import Algorithm
from preop.progress import Bars, progress_bars
from preop.report.case import gallery
from preop.report.evaluation import evaluation_page
from preop.report.index import StudyEntry, index_page

STUDIES_AT_A_TIME = 2
"""While one starts, reads or draws, which takes one core, another one computes; more of them need more memory than laptops have."""

console = Console()


@dataclass(frozen=True)
class _Study:
    """An algorithm with what runs it, and its bundled cases."""

    algorithm: Algorithm
    engine: Engine
    cases: Mapping[str, BundledCase]

    @property
    def bytes_to_read(self) -> int:
        """Size of its inputs: what takes longest has most of them."""
        files = (path for case in self.cases.values() for path in case.input.rglob("*"))
        return sum(path.stat().st_size for path in files)


@dataclass(frozen=True)
class _Done:
    """What came of a study."""

    entry: StudyEntry
    runs: Mapping[str, Run]
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class _Steps:
    """The bar of a study, whose time begins when the study does."""

    bars: Bars
    task: TaskID

    def begin(self) -> None:
        self.bars.start_task(self.task)

    def advance(self) -> None:
        self.bars.advance(self.task)


def run_examples(folder: Path, engine: EngineChoice) -> None:
    """Run the bundled examples and their evaluation, and write a page of each, and one that leads to all of them."""
    judge = evaluation_program(repository.evaluation_folder())
    judge_engine = engine_told(judge, engine)
    studies = [
        _Study(algorithm, engine_told(algorithm_program(algorithm), engine), _cases(algorithm))
        for algorithm in repository.studies()
    ]
    with progress_bars() as progress:
        threads = ThreadPoolExecutor(STUDIES_AT_A_TIME)
        try:
            running = {}
            for study in sorted(studies, key=lambda study: -study.bytes_to_read):
                task = progress.add_task(study.algorithm.name, total=len(study.cases), start=False)
                arguments = (study, judge, judge_engine, folder / study.algorithm.name)
                running[study.algorithm.name] = threads.submit(_run_study, *arguments, _Steps(progress, task))
            done = [running[study.algorithm.name].result() for study in studies]
        finally:
            # Waits for none of them: they end with their programs, and whoever waits may have pressed Ctrl-C.
            threads.shutdown(wait=False, cancel_futures=True)
    console.print(_table(done))
    index_page([each.entry for each in done], folder / "index.html")
    console.print(folder / "index.html", soft_wrap=True)


def _cases(algorithm: Algorithm) -> dict[str, BundledCase]:
    """Give those that show something of their own, in the order of what they show: "Right: ..." before "Wrong: ..."."""
    found = [case for case in find_test_cases(algorithm.folder) if case.is_example]
    return {case.name: case for case in sorted(found, key=lambda case: case.shows or "")}


def _run_study(study: _Study, judge: Program, judge_engine: Engine, folder: Path, steps: _Steps) -> _Done:
    algorithm, model = study.algorithm, study.algorithm.folder / "model"
    inputs = {name: case.input for name, case in study.cases.items()}
    shows = {name: case.shows for name, case in study.cases.items() if case.shows is not None}
    predictions, runs = folder / "predictions", {}
    steps.begin()
    for name, result in predict(study.engine, algorithm, inputs, predictions, model=model):
        runs[name] = result
        steps.advance()
    truth = folder / "ground_truth"
    write_truth(repository.ground_truth_folder(algorithm), runs, truth)
    metrics = evaluate(judge_engine, judge, predictions, truth, folder / "evaluation")
    cards = pages_told(algorithm, inputs, runs, predictions, model)
    page = folder / "results.html"
    evaluation_page(metrics, page, cases=gallery(cards, page), shows=shows)
    return _Done(StudyEntry(algorithm.name, algorithm.title, algorithm.summary, page, cards, shows), runs, metrics)


def _table(studies: list[_Done]) -> Table:
    table = Table(
        "case",
        "output",
        "reference",
        "seconds",
        "peak memory",
        title="Bundled examples: simulated patients, chosen to illustrate; no sample",
        caption=f"{STUDIES_AT_A_TIME} algorithms ran at a time. Where one started once for all of its cases, seconds are "
        "those without its start, and memory is the most so far.",
    )
    for study in studies:
        table.add_section()
        for case in study.metrics["results"]:
            result = study.runs[case["case"]]
            table.add_row(
                f"{study.entry.name} / {case['case']}",
                shown(case["output"]) if result.error is None else f"[red]{result.error}",
                shown(case["reference"]),
                f"{result.seconds:.1f}",
                memory(result.peak_memory_mb),
            )
    return table
