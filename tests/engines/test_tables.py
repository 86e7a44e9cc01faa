"""Predictions and reference in two tables are judged as a submission is."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.evaluate import evaluate
from preop.engines.tables import TablesTask, lay_out_tables
from preop.errors import InvalidInputError
from preop.grandchallenge.predictions import read_predictions

BINARY = TablesTask(kind="binary", threshold=0.5)


def judged(folder: Path, predictions: str, reference: str, task: TablesTask) -> tuple[dict[str, object], list[str]]:
    (folder / "p.csv").write_text(predictions)
    (folder / "r.csv").write_text(reference)
    said, truth, notes = lay_out_tables(folder / "p.csv", folder / "r.csv", task, folder / "work")
    return evaluate(read_predictions(said), truth), notes


def test_likelihoods_are_scored_and_what_is_missing_counts_as_worst(tmp_path: Path) -> None:
    predictions = "case,likelihood\na,0.9\nb,0.2\nc,0.6\nd,\n"
    reference = "patient;outcome;centre\na;1;X\nb;0;Y\nc;1;X\nd;0;Y\ne;1;X\nf;0;Y\n"
    metrics, notes = judged(tmp_path, predictions, reference, BINARY)
    assert metrics["aggregates"]["cases"] == {"all": 6, "valid": 3, "invalid": 0, "failed": 1, "missing": 2}
    # Right: a and c above b (2 of 9 pairs); all pairs with d, e or f are lost.
    assert metrics["aggregates"]["auc"]["value"] == pytest.approx(2 / 9)
    assert metrics["aggregates"]["counts"]["true_positives"] == 2
    assert metrics["results"][0]["attributes"] == {"centre": "X"}
    assert notes[-1] == "The column likelihood of p.csv is held against outcome of r.csv."


def test_the_threshold_of_the_predictions_is_taken_and_there_must_be_one(tmp_path: Path) -> None:
    reference = "case,outcome\na,1\nb,0\n"
    own = "patient,likelihood,decision_threshold,error\na,0.4,0.3,\nb,0.2,0.3,\n"
    metrics, _ = judged(tmp_path, own, reference, BINARY)
    assert metrics["aggregates"]["sensitivity"]["value"] == 1
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(InvalidInputError, match="Name it by --threshold"):
        judged(again, "case,p\na,0.4\nb,0.2\n", reference, TablesTask(kind="binary"))


def test_stages_are_scored_in_the_order_that_is_named(tmp_path: Path) -> None:
    task = TablesTask(kind="ordinal", stages=("N0", "N1", "N2"), reference_column="truth")
    reference = "case,truth,age\na,N0,60\nb,N2,70\n"
    metrics, _ = judged(tmp_path, "case,n-stage\na,N0\nb,N1\n", reference, task)
    assert metrics["aggregates"]["accuracy"]["value"] == 0.5


@pytest.mark.parametrize(
    ("predictions", "reference", "sentence"),
    [
        ("name,p\na,1\n", "case,t\na,1\n", "p.csv has no column case or patient; its columns are name, p."),
        (
            "case,p,q\na,1,1\n",
            "case,t\na,1\n",
            r"p.csv has several columns \(p, q\): name the one that is meant by --prediction",
        ),
        ("case,p\nx,1\n", "case,t\na,1\n", "p.csv has 'x', which r.csv does not; expected predictions of"),
        ("case,p\na,oops\n", "case,t\na,1\n", "The prediction of a is 'oops'; expected a number."),
        ("case,p\na,1.2\n", "case,t\na,1\n", "The prediction of a is 1.2; expected a likelihood of 0 to 1."),
        ("case\nx\n", "case,t\na,1\n", "p.csv has no column beside the names of the cases"),
    ],
)
def test_what_is_not_clear_is_asked_for(tmp_path: Path, predictions: str, reference: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        judged(tmp_path, predictions, reference, BINARY)
