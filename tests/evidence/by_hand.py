"""Evidence of several kinds, made by hand or from few numbers, for tests of figures and of pages."""

from __future__ import annotations

from typing import Any

import numpy as np

_STAGES = ("N0", "N0", "N1", "N2a", "N2b", "N3")
_PATIENTS = 40
_PURE, _HALF, _NONE = [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]


def models_evidence(**changed: Any) -> dict[str, Any]:
    """The first model is right of all, the second of few; the third is the mean of both; the count is right of all."""
    rng = np.random.default_rng(0)
    patients = []
    for number in range(_PATIENTS):
        outcome = number % 2
        first = 0.7 + 0.1 * rng.random() if outcome else 0.3 - 0.1 * rng.random()
        scores = {
            "card": first,
            "tiles": first if number < 4 else 1 - first,
            "combined": 0.5 + 0.001 * first,
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
        "models": [
            {"name": "count", "baseline": True},
            {"name": "card", "threshold": 0.5},
            {"name": "tiles", "threshold": 0.5},
            {"name": "combined", "threshold": 0.5},
        ],
        "patients": patients,
        "by_centre": by_centre,
        "readings": [
            {"patient": f"p{number}", "item": "buds", "measured": number, "read": number + 1} for number in range(10)
        ],
        "weights": [{"name": "buds", "log_odds": -0.9, "lower": -1.8, "upper": None}],
        "oracle_auc": 0.9,
        **changed,
    }


def stage_evidence(times: int = 5) -> dict[str, Any]:
    """An algorithm that is always right, and a reader who always says N0."""
    patients = [
        {
            "patient": f"{stage} {number}",
            "centre": "A" if number % 2 else "B",
            "fold": str(number),
            "reference": stage,
            "called": {"the algorithm": stage, "the reader": "N0"},
            "probabilities": {"N0": 0.8 if stage == "N0" else 0.1, stage: 0.7},
            "sampled": ["4R", "7"],
            "positive": ["4R"] if stage > "N1" else [],
            "involved": ["4R"] if stage > "N2a" else [],
        }
        for number in range(times)
        for stage in _STAGES
    ]
    nodes = [
        {"patient": "N1 0", "station": "10R", "probability": 0.1 * place, "malignant": place > 4} for place in range(10)
    ]
    return {
        "format": 1,
        "protocol": "5-fold cross-validation.",
        "raters": ["the algorithm", "the reader"],
        "terms": {"SUVmax": 1.5, "volume": -0.25},
        "settings": {"penalty": 1.0},
        "patients": patients,
        "nodes": nodes,
    }


def shares_evidence(**changed: Any) -> dict[str, Any]:
    """Four patients of one metastasis each, and a fifth of two of whom the pattern is not known.

    The model is right of all reports; its part says half of everything; the mean of the cohort is half too.
    """

    def prediction(shares: list[list[float]], reported: list[bool], likelihood: float) -> dict[str, Any]:
        lesions = [
            {
                "mean": mean,
                "pure": mean[0],
                "at_least_half": float(mean[0] >= 0.5),
                "predominant": mean,
                "log_score": -2.0 if known else None,
                "interval": [max(mean[0] - 0.1, 0.0), min(mean[0] + 0.1, 1.0)],
            }
            for mean, known in zip(shares, reported, strict=True)
        ]
        return {"non_desmoplastic": likelihood, "lesions": lesions}

    def patient(name: str, state: int | None, truth: list[list[float]], reported: list[bool], **more: Any) -> Any:
        lesions = [
            {"label": place + 1, "long_axis_mm": 15.0 + 30 * place, "report": shares if known else None}
            for place, (shares, known) in enumerate(zip(truth, reported, strict=True))
        ]
        likelihood = {0: 0.1, 1: 0.9, None: 0.5}[state]
        predictions = {
            "both": prediction(truth, reported, likelihood),
            "part": prediction([_HALF] * len(truth), reported, 0.5),
        }
        row = {"patient": name, "centre": name[0], "fold": "0", "non_desmoplastic": state, "cohort_mean": _HALF}
        return row | {"lesions": lesions, "predictions": predictions, "second": None} | more

    second = {"labels": [1], **prediction([[0.8, 0.2, 0.0]], [True], 0.3)}
    return {
        "protocol": "by hand",
        "models": {"both": "both together", "part": "the part alone"},
        "patients": [
            patient("a1", 0, [_PURE], [True], second=second),
            patient("a2", 0, [_PURE], [True]),
            patient("b3", 1, [_NONE], [True]),
            patient("b4", 1, [_NONE], [True]),
            patient("b5", None, [_PURE, _HALF], [False, True]),
        ],
        "oracle": {
            "patients": [0.0, 0.0, 1.0, 1.0],
            "lesions": [1.0, 1.0, 0.0, 0.0],
            "shares": {"a1/1": [0.7, 0.3, 0.0]},
        },
        **changed,
    }


def splits_evidence(**changed: Any) -> dict[str, Any]:
    """Eight rows of eight patients in two splits: a model that is right of all, and a baseline that is right of few."""
    final = {
        "threshold": 0.5,
        "members": [{"classifier": "logistic", "selection": "univariable", "features": 1, "capacity": 0.1}],
        "features": {"texture": 1.0},
    }

    def split(rows: list[int], probabilities: list[float], weight: float = 1.0) -> dict[str, Any]:
        return {
            "rows": rows,
            "probabilities": probabilities,
            "threshold": 0.5,
            "training_rows": 4,
            "features": {"texture": weight},
            "recipe": ["logistic"],
        }

    def model(run: int, *, baseline: bool) -> dict[str, Any]:
        return {"baseline": baseline, "columns": ["texture"], "run": run, "final": final, "centres": {}, "cox": None}

    everybody = list(range(8))
    return {
        "protocol": "two splits",
        "outcome": "metastasis",
        "settings": {},
        "splits": {"repeats": 2, "test_share": 0.5, "seed": 0},
        "software": {"numpy": "1"},
        "patients": {
            "patient": [f"p{row}" for row in everybody],
            "centre": ["A"] * 8,
            "outcome": [0, 1] * 4,
            "follow_up": None,
        },
        "models": {"CT": model(0, baseline=False), "volume": model(1, baseline=True)},
        "runs": [
            {
                "model": "CT",
                "rows": everybody,
                "splits": [split([0, 1, 2, 3], [0.1, 0.9, 0.2, 0.8]), split([2, 3, 4, 5], [0.6, 0.7, 0.1, 0.9], -1.0)],
            },
            {
                "model": "volume",
                "rows": everybody,
                "splits": [split([0, 1, 2, 3], [0.9, 0.1, 0.2, 0.8]), split([2, 3, 4, 5], [0.5, 0.5, 0.5, 0.5])],
            },
        ],
        "comparisons": [{"model": "CT", "baseline": "volume", "runs": [0, 1]}],
        "cohort": [],
        "univariable": [],
        "regressions": {},
        "stability": {},
        "warnings": [],
        **changed,
    }
