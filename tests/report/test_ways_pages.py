"""The page and figures of a training run that predicts in several ways."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.report import way_figures, ways_training_page
from preop.report.way_evidence import read_way_evidence

PATIENTS = 40


def evidence(**changed: Any) -> dict[str, Any]:
    """The first way is right of all, the second of few; the third is the mean of both; the count is right of all."""
    rng = np.random.default_rng(0)
    patients = []
    for number in range(PATIENTS):
        outcome = number % 2
        first = 0.7 + 0.1 * rng.random() if outcome else 0.3 - 0.1 * rng.random()
        scores = {
            "card": first,
            "tiles": first if number < 4 else 1 - first,
            "together": 0.5 + 0.001 * first,
            "count": float(outcome),
        }
        patients.append(
            {
                "patient": f"p{number}",
                "centre": "AB"[number % 4 // 2],
                "fold": str(number // 2 % 5),
                "outcome": outcome,
                "scores": scores,
            }
        )
    by_centre = {
        centre: [{"patient": row["patient"], "scores": row["scores"]} for row in patients if row["centre"] == centre]
        for centre in "AB"
    }
    return {
        "format": 1,
        "positive_name": "desmoplastic growth",
        "protocol": "five folds",
        "ways": [
            {"name": "count", "baseline": True},
            {"name": "card", "threshold": 0.5},
            {"name": "tiles", "threshold": 0.5},
            {"name": "together", "threshold": 0.5},
        ],
        "patients": patients,
        "by_centre": by_centre,
        "readings": [
            {"patient": f"p{number}", "item": "buds", "measured": number, "read": number + 1} for number in range(10)
        ],
        "weights": [{"name": "buds", "log_odds": -0.9, "lower": -1.8, "upper": None}],
        "oracle": 0.9,
        **changed,
    }


def test_each_way_is_judged_by_itself() -> None:
    found = way_figures(evidence())
    assert found["models"]["card"]["auc"]["value"] == 1
    assert found["models"]["tiles"]["auc"]["value"] < 0.3
    assert found["models"]["count"]["baseline"]
    assert found["decisions"]["card"]["accuracy"]["value"] == 1
    assert found["centres"]["A"]["auc"]["card"]["value"] == 1
    assert found["oracle_auc"] == 0.9
    assert {(row["model"], row["baseline"]) for row in found["comparisons"]} == {
        ("card", "count"),
        ("tiles", "count"),
        ("together", "count"),
        ("together", "card"),
        ("together", "tiles"),
    }


def test_opposite_ways_disagree() -> None:
    (pair,) = way_figures(evidence())["agreement"]
    assert pair["ways"] == ["card", "tiles"]
    assert pair["rank_correlation"] < -0.5
    assert pair["same_decision"]["value"] < 0.6


def test_a_reader_who_counts_one_more_agrees_but_for_that() -> None:
    readers = way_figures(evidence())["readers"]["buds"]
    assert readers["mean_difference"] == -1
    assert readers["rank_correlation"] == pytest.approx(1)
    assert 0.9 < readers["intraclass_correlation"] < 1


def test_the_page_says_which_way_and_what_together(tmp_path: Path) -> None:
    ways_training_page(evidence(), tmp_path / "report.html", title="A study", simulated=True)
    page = (tmp_path / "report.html").read_text()
    for words in (
        "Simulated patients.",
        "Tiles is worse than count alone",
        "Together was not shown to be better than card alone",
        "Weight of each item",
        "Oracle: an observer who knows",
        "p39",
    ):
        assert words in page
    ways_training_page(
        evidence(readings=[], weights=[], by_centre={}, oracle=None), tmp_path / "short.html", title="A study"
    )
    short = (tmp_path / "short.html").read_text()
    assert "no reader&#39;s scores" in short or "no reader's scores" in short
    assert "Not validated by centre" in short


def twice(content: dict[str, Any]) -> None:
    content["patients"].append(content["patients"][0])


def stranger(content: dict[str, Any]) -> None:
    content["by_centre"]["A"][0]["patient"] = "nobody"


def one_fold(content: dict[str, Any]) -> None:
    for row in content["patients"]:
        row["fold"] = "0"


def without_a_way(content: dict[str, Any]) -> None:
    content["patients"][0]["scores"] = {"card": 0.5}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (twice, "the patient p0 is there twice"),
        (stranger, "by_centre names the patient nobody"),
        (one_fold, "each in at least two folds"),
        (without_a_way, "the patient p0 is scored by other ways"),
    ],
)
def test_evidence_that_cannot_be_is_refused(spoil: Any, sentence: str) -> None:
    content = evidence()
    spoil(content)
    with pytest.raises(InvalidInputError, match=sentence):
        read_way_evidence(content)
