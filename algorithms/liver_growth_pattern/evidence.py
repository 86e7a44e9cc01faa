"""From held-out predictions to the figures that are stated: one place where every number of card, report and bench comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.staging import Pattern, Shares
from preop.statistics import (
    Agreement,
    AucComparison,
    Estimate,
    auc_bootstrap,
    auc_delong,
    brier_score,
    compare_aucs,
    intraclass_correlation,
    mean_bootstrap,
    oracle_auc,
)

Json = Mapping[str, Any]
Floats = NDArray[np.float64]

COMBINATION = "combination"
MODELS = (COMBINATION, "radiomics", "network")
SIZES_MM = (20.0, 40.0)
"""Long axis at which results are divided."""
SEED = 0  # of the bootstrap


@dataclass(frozen=True, eq=False)
class Reported:
    """Metastases whose shares were reported, one below the other.

    Attributes
    ----------
    patients
        Whose each is (n,).
    shares
        Reported (n, 3).
    pure
        Whether each is purely desmoplastic (n,).
    without
        What would be said without looking (n, 3).
    long_axis_mm, centres, sources, names
        Of each (n,); the last is patient and label.
    """

    patients: tuple[str, ...]
    shares: Floats
    pure: NDArray[np.bool_]
    without: Floats
    long_axis_mm: Floats
    centres: tuple[str, ...]
    sources: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Json) -> Reported:
        """Gather them from evidence."""
        rows = [(row, lesion) for row in evidence["patients"] for lesion in row["lesions"] if lesion["report"]]
        shares = np.array([lesion["report"] for _, lesion in rows], dtype=np.float64).reshape(-1, 3)
        return cls(
            patients=tuple(row["patient"] for row, _ in rows),
            shares=shares,
            pure=shares[:, 0] >= 1,
            without=np.array([row["without"] for row, _ in rows], dtype=np.float64).reshape(-1, 3),
            long_axis_mm=np.array([lesion["long_axis_mm"] for _, lesion in rows], dtype=np.float64),
            centres=tuple(row["centre"] for row, _ in rows),
            sources=tuple(row["source"] for row, _ in rows),
            names=tuple(f"{row['patient']}/{lesion['label']}" for row, lesion in rows),
        )


@dataclass(frozen=True, eq=False)
class Said:
    """What a model said of the same metastases: expected shares (n, 3), chance to be pure (n,), log score (n,)."""

    mean: Floats
    pure: Floats
    predominant: tuple[str, ...]
    log_score: Floats

    @classmethod
    def of(cls, evidence: Json, model: str) -> Said:
        """Gather it from evidence."""
        rows = [
            said
            for row in evidence["patients"]
            for lesion, said in zip(row["lesions"], row["said"][model]["lesions"], strict=True)
            if lesion["report"]
        ]
        return cls(
            mean=np.array([said["mean"] for said in rows], dtype=np.float64).reshape(-1, 3),
            pure=np.array([said["pure"] for said in rows], dtype=np.float64),
            predominant=tuple(str(list(Pattern)[int(np.argmax(said["predominant"]))]) for said in rows),
            log_score=np.array([said["log_score"] for said in rows], dtype=np.float64),
        )


def patient_scores(evidence: Json, model: str) -> tuple[NDArray[np.int64], Floats]:
    """Patterns of all patients of whom it is known (1 non-desmoplastic), and the likelihoods that a model gave."""
    known = [row for row in evidence["patients"] if row["state"] >= 0]
    states = np.array([row["state"] for row in known], dtype=np.int64)
    return states, np.array([row["said"][model]["non_desmoplastic"] for row in known])


def error_of_shares(said: Floats, reported: Floats) -> Floats:
    """Mean absolute error over the three patterns, of each metastasis (n,)."""
    return np.asarray(np.abs(said - reported).mean(axis=1))


def figures(evidence: Json) -> dict[str, Any]:
    """Figures of all models, their parts and their comparisons, as they stand in ``model.json``."""
    reported = Reported.of(evidence)
    said = {model: Said.of(evidence, model) for model in MODELS}
    return {
        "patients": len(evidence["patients"]),
        "lesions": sum(len(row["lesions"]) for row in evidence["patients"]),
        "reported_lesions": len(reported.patients),
        "models": {model: _of_model(evidence, model, reported, said[model]) for model in MODELS},
        "error_without_looking": _dict(
            _mean(error_of_shares(reported.without, reported.shares), reported.patients) if reported.patients else None
        ),
        "comparisons": comparisons(evidence, reported, said),
        "by": groups(reported, said[COMBINATION]),
        "second_segmentation": second_segmentation(evidence),
        "oracle": oracle(evidence, reported),
    }


def _of_model(evidence: Json, model: str, reported: Reported, said: Said) -> dict[str, Any]:
    states, scores = patient_scores(evidence, model)
    agreement = agreement_of(reported, said)
    return {
        "patient_auc": _dict(_patient_auc(states, scores)),
        "brier_score": brier_score(states, scores) if states.size else None,
        "lesion_auc_pure": _dict(lesion_auc(reported, said)),
        "error_of_shares": _dict(_mean(error_of_shares(said.mean, reported.shares), reported.patients))
        if reported.patients
        else None,
        "log_score": float(said.log_score.mean()) if said.log_score.size else None,
        "predominant_accuracy": _dict(agreement.accuracy if agreement else None),
        "predominant_kappa": _dict(agreement.kappa if agreement else None),
    }


def lesion_auc(reported: Reported, said: Said, chosen: NDArray[np.bool_] | None = None) -> Estimate | None:
    """How well pure and mixed metastases are told apart; None where there is one kind."""
    rows = np.flatnonzero(np.ones(len(reported.pure), dtype=bool) if chosen is None else chosen)
    pure = reported.pure[rows]
    if pure.all() or not pure.any():
        return None
    return auc_bootstrap(pure, said.pure[rows], [reported.patients[row] for row in rows], seed=SEED, repeats=500)


def agreement_of(reported: Reported, said: Said) -> Agreement | None:
    """Table of the predominant patterns; None where nothing was reported."""
    if not reported.patients:
        return None
    true = [str(Shares(*row).predominant) for row in reported.shares.tolist()]
    return Agreement.of(true, said.predominant, [str(pattern) for pattern in Pattern])


def comparisons(evidence: Json, reported: Reported, said: Mapping[str, Said]) -> list[dict[str, Any]]:
    """The combination beside each part and beside not looking: whether it adds, and whether it is worse.

    A difference of errors below 0, or of AUCs above 0, speaks for the combination.
    """
    found = []
    errors = {model: error_of_shares(each.mean, reported.shares) for model, each in said.items()}
    errors["mean of the cohort"] = error_of_shares(reported.without, reported.shares)
    states, scores = patient_scores(evidence, COMBINATION)
    for baseline in ("radiomics", "network", "mean of the cohort"):
        error = _mean(errors[COMBINATION] - errors[baseline], reported.patients) if reported.patients else None
        area: AucComparison | None = None
        if baseline in MODELS and 0 < states.sum() < states.size:
            area = compare_aucs(states, scores, patient_scores(evidence, baseline)[1])
        found.append(
            {
                "baseline": baseline,
                "difference_of_error": _dict(error),
                "difference_of_patient_auc": _dict(area.difference) if area else None,
                "adds": bool(error is not None and error.upper < 0),
            }
        )
    return found


def groups(reported: Reported, said: Said) -> dict[str, dict[str, dict[str, Any]]]:
    """Results by size of the metastasis, by centre, and by who drew it."""
    small, large = SIZES_MM

    def size(mm: float) -> str:
        return (
            f"under {small:g} mm"
            if mm < small
            else f"over {large:g} mm"
            if mm > large
            else f"{small:g} to {large:g} mm"
        )

    keys: dict[str, Sequence[str]] = {
        "size": [size(float(mm)) for mm in reported.long_axis_mm],
        "centre": reported.centres,
        "segmentation": reported.sources,
    }
    return {
        by: {
            name: _of_group(reported, said, np.array([key == name for key in names]))
            for name in sorted(set(names), key=_order)
        }
        for by, names in keys.items()
        if len(set(names)) > 1
    }


def _order(name: str) -> tuple[bool, bool, str]:
    """Sizes from the smallest, names by the alphabet."""
    return name.startswith("over"), not name.startswith("under"), name


def _of_group(reported: Reported, said: Said, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    owners = [owner for owner, here in zip(reported.patients, chosen, strict=True) if here]
    return {
        "lesions": int(chosen.sum()),
        "pure": int(reported.pure[chosen].sum()),
        "lesion_auc_pure": _dict(lesion_auc(reported, said, chosen)),
        "error_of_shares": _dict(_mean(error_of_shares(said.mean[chosen], reported.shares[chosen]), owners)),
    }


def second_segmentation(evidence: Json) -> dict[str, Any] | None:
    """What changes if another draws the same metastases; None where nobody did."""
    pairs = []
    for row in evidence["patients"]:
        if row["second"] is None:
            continue
        first = dict(zip((each["label"] for each in row["lesions"]), row["said"][COMBINATION]["lesions"], strict=True))
        reports = {each["label"]: each["report"] for each in row["lesions"]}
        for label, other in zip(row["second"]["labels"], row["second"]["lesions"], strict=True):
            pairs.append((row["patient"], first[label], other, reports[label]))
    if not pairs:
        return None
    one = np.array([first["mean"][0] for _, first, _, _ in pairs])
    two = np.array([second["mean"][0] for _, _, second, _ in pairs])
    known = [(owner, second, report) for owner, _, second, report in pairs if report]
    shares = np.array([report for _, _, report in known], dtype=np.float64).reshape(-1, 3)
    means = np.array([second["mean"] for _, second, _ in known], dtype=np.float64).reshape(-1, 3)
    owners = [owner for owner, _, _ in known]
    pure = shares[:, 0] >= 1
    agreement = float(intraclass_correlation(np.stack([one, two])[:, :, None])[0])
    return {
        "lesions": len(pairs),
        "difference_of_desmoplastic_share": _dict(_mean(np.abs(one - two), [owner for owner, *_ in pairs])),
        "intraclass_correlation": agreement if math.isfinite(agreement) else None,
        "error_of_shares": _dict(_mean(error_of_shares(means, shares), owners)) if owners else None,
        "lesion_auc_pure": _dict(
            auc_bootstrap(pure, [each["pure"] for _, each, _ in known], owners, seed=SEED, repeats=500)
            if owners and pure.any() and not pure.all()
            else None
        ),
    }


def oracle(evidence: Json, reported: Reported) -> dict[str, float | None] | None:
    """What an observer could reach who was told how the patients were made; None for real patients."""
    known = evidence["oracle"]
    if known is None:
        return None
    true = [known["shares"].get(name) for name in reported.names]
    told = [(share, report) for share, report in zip(true, reported.shares, strict=True) if share is not None]
    error = float(np.mean([np.abs(np.array(share) - report).mean() for share, report in told])) if told else None
    return {
        "patient_auc": _oracle_auc(known["patients"]),
        "lesion_auc_pure": _oracle_auc(known["lesions"]),
        "error_of_shares": error,
    }


def _oracle_auc(chances: Sequence[float]) -> float | None:
    values = np.array(chances)
    return oracle_auc(values) if 0 < values.sum() < values.size else None


def _patient_auc(states: NDArray[np.int64], scores: Floats) -> Estimate | None:
    return auc_delong(states, scores) if 0 < states.sum() < states.size else None


def _mean(values: Floats, patients: Sequence[str]) -> Estimate:
    return mean_bootstrap(values, patients, seed=SEED)


def _dict(estimate: Estimate | None) -> dict[str, float | None] | None:
    return None if estimate is None else estimate.as_dict()
