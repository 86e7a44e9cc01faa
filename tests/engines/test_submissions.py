"""An algorithm on several cases, as in a submission: started once where that is possible, one failure stays one failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preop.engines.processes import ProcessEngine
from preop.engines.submissions import predict, write_truth
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.predictions import read_predictions
from tests.conftest import scan_of


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("namespaces", "methods"), [(True, ["invoke", "invoke"]), (False, ["exec"] * 4)])
def test_an_algorithm_starts_once_and_again_only_after_it_broke_down(
    namespaces: bool,  # noqa: FBT001
    methods: list[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    toy: Algorithm,
    toy_model: Path,
    lay_out: Callable[..., Path],
    tmp_path: Path,
) -> None:
    engine = request.getfixturevalue("isolated") if namespaces else ProcessEngine(())
    started = []
    start = ProcessEngine.start

    def noted(self: ProcessEngine, *args: Any, **options: Any) -> Any:
        started.append(options["method"])
        return start(self, *args, **options)

    monkeypatch.setattr(ProcessEngine, "start", noted)
    program = toy.folder / "inference.py"
    ending = '    if case.name == "ending":\n        __import__("os")._exit(5)\n    if case.name.startswith'
    program.write_text(program.read_text().replace("    if case.name.startswith", ending))
    cases = {}
    for seed, name in enumerate(("first", "broken", "ending", "last")):
        cases[name] = lay_out(toy, folder=name, scan=scan_of(seed=seed))
        items = cases[name] / "inputs.json"
        items.write_text(items.read_text().replace("scan.mha", f"{name}.mha"))
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    runs = dict(predict(engine, toy, cases, predictions, model=toy_model))
    assert started == methods
    assert {name: result.error is None for name, result in runs.items()} == {
        "first": True,
        "broken": False,
        "ending": False,
        "last": True,
    }
    jobs = {job.pk: job for job in read_predictions(predictions)}
    assert [jobs[name].succeeded for name in cases] == [True, False, False, True]
    assert jobs["first"].value("score") != jobs["last"].value("score")
    assert "ZeroDivisionError" in jobs["broken"].error_message


def test_the_truth_of_some_cases_holds_no_other(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "task.toml").write_text('title = "T"\n')
    (whole / "reference.csv").write_text("case,outcome\na,1\nb,0\nc,1\n")
    write_truth(whole, {"a", "c"}, tmp_path / "part")
    assert (tmp_path / "part" / "reference.csv").read_text().split() == ["case,outcome", "a,1", "c,1"]
    assert (tmp_path / "part" / "task.toml").read_text() == 'title = "T"\n'
