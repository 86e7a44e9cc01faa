"""How a model learns from patients: radiomics and network inside inner folds, then what stacks them.

No metastasis of a patient is ever on both sides of a fold. Of each inner fold it is known what a regression and a network
say that have not seen its patients; the strength of the penalty, the weights of both learners and the within-patient correlation
of metastases are fitted on that. The model keeps the network of every inner fold, and one regression on all patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.mil import Bag, Member, stratified_folds, train, train_ahead
from preop.mil import Settings as MilSettings
from preop.mil.ahead import Each
from preop.staging import PURE, REPORTS

from .combination import Learner, fit_stack, fit_within_patient_correlation
from .fitted import LEARNERS_OF, Fitted, Patient
from .likelihood import Known, log_likelihood
from .network import make_network, outputs_of, turned
from .regression import Row, fit_regression
from .reports import UNKNOWN
from .settings import NetworkSettings

Floats = NDArray[np.float64]


class Settings(BaseModel):
    """What a training run can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings = Field(NetworkSettings(), description="the network on the interface")
    training: MilSettings = Field(
        MilSettings(epochs=30, learning_rate=2e-3, instances_per_batch=16, folds=3),
        description="of each network: preop.mil; all epochs are used, there is no early stopping",
    )
    penalties: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3), min_length=1, description="of the regression on radiomics; the best of inner folds"
    )
    folds: int = Field(5, ge=2, description="outer folds of the validation")


def fit_model(
    patients: Sequence[Patient],
    settings: Settings,
    *,
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Fitted:
    """Train learners and what stacks them.

    Parameters
    ----------
    folder
        Where networks are kept epoch by epoch, so that a run that was stopped goes on from there.
    advance
        Called with the number of epochs that are done with.
    """
    bags = [patient.bag for patient in patients]
    folds = stratified_folds(bags, settings.training.folds, settings.training.seed)
    networks = []
    held_out_outputs: dict[int, Floats] = {}
    for rows, member in zip(folds.values(), _members(bags, range(len(bags)), settings, folder), strict=True):
        network = train(
            partial(make_network, settings.network),
            [bags[row] for row in member.learning],
            settings.training,
            seed=member.seed,
            checkpoint=member.checkpoint,
            augment=turned,
            advance=advance,
        )
        networks.append(network)
        held_out_outputs |= dict(zip(rows, outputs_of(network, [bags[row] for row in rows]), strict=True))
    known = known_of(patients)
    by_network = np.concatenate([held_out_outputs[row] for row in range(len(patients))]).astype(np.float64)
    penalty, by_radiomics = _best_penalty(patients, list(folds.values()), settings)
    outputs: dict[Learner, Floats] = {"radiomics": by_radiomics, "network": by_network}
    stacks = {
        name: fit_stack({each: outputs[each] for each in learners}, known) for name, learners in LEARNERS_OF.items()
    }
    return Fitted(
        regression=fit_regression(_rows(patients), known, penalty=penalty),
        networks=networks,
        stacks=stacks,
        within_patient_correlations={
            name: fit_within_patient_correlation(stack.combine(outputs), known) for name, stack in stacks.items()
        },
        typical={name: values.mean(axis=0) for name, values in outputs.items()},
    )


def train_networks_ahead(
    patients: Sequence[Patient],
    parts: Mapping[Path, Sequence[int]],
    settings: Settings,
    *,
    each: Each,
    advance: Callable[[int], None],
) -> bool:
    """Train the networks of several calls of :func:`fit_model` side by side, as :func:`preop.mil.train_ahead` does.

    Parameters
    ----------
    parts
        Folder of each call, and the rows of the patients that it is given.
    """
    bags = [patient.bag for patient in patients]
    return train_ahead(
        partial(make_network, settings.network),
        bags,
        settings.training,
        [member for folder, rows in parts.items() for member in _members(bags, rows, settings, folder)],
        each=each,
        augment=turned,
        advance=advance,
    )


def _members(bags: Sequence[Bag], rows: Sequence[int], settings: Settings, folder: Path) -> list[Member]:
    """One network an inner fold of these rows, which learns from the other folds; nothing stops it early."""
    folds = stratified_folds([bags[row] for row in rows], settings.training.folds, settings.training.seed)
    return [
        Member(
            learning=tuple(row for place, row in enumerate(rows) if place not in set(held_out)),
            held_out=(),
            seed=settings.training.seed * 1000 + number,
            checkpoint=folder / f"network_{number}.pt",
        )
        for number, held_out in enumerate(folds.values())
    ]


def known_of(patients: Sequence[Patient]) -> Known:
    """What pathology says of these patients, metastases one below the other."""
    return Known(
        torch.tensor([report for patient in patients for report in patient.reports]),
        torch.tensor([number for number, patient in enumerate(patients) for _ in patient.reports]),
        torch.tensor([patient.state for patient in patients]),
    )


def mean_shares(patients: Sequence[Patient]) -> Floats:
    """Mean of all reported shares (3,): the prediction that needs no scan."""
    reports = [report for patient in patients for report in patient.reports if report != UNKNOWN]
    if not reports:
        return np.full(3, 1 / 3)
    return np.asarray(REPORTS[reports].mean(axis=0))


def state_of(reports: Sequence[int], stated: int) -> int:
    """Pattern of a patient from what is stated, or from the reports where they decide."""
    if stated != UNKNOWN or not reports:
        return stated
    if any(report not in (PURE, UNKNOWN) for report in reports):
        return 1
    return UNKNOWN if UNKNOWN in reports else 0


def _best_penalty(
    patients: Sequence[Patient], folds: Sequence[Sequence[int]], settings: Settings
) -> tuple[float, Floats]:
    """Penalty of the regression that makes held-out reports likeliest, and outputs (lesions, 4) of held-out patients.

    Judged as it is used: stacked, which takes back what a weak penalty makes too extreme.
    """
    known = known_of(patients)
    best: tuple[float, float, Floats] | None = None
    for penalty in settings.penalties:
        predicted: dict[int, Floats] = {}
        for rows in folds:
            held_out = set(rows)
            others = [patient for row, patient in enumerate(patients) if row not in held_out]
            regression = fit_regression(_rows(others), known_of(others), penalty=penalty)
            predicted |= {row: regression.predict(patients[row].rows) for row in rows}
        outputs = np.concatenate([predicted[row] for row in range(len(patients))])
        by_radiomics: dict[Learner, Floats] = {"radiomics": outputs}
        stacked = fit_stack(by_radiomics, known).combine(by_radiomics)
        likelihood = float(log_likelihood(torch.from_numpy(stacked), known).mean())
        if best is None or likelihood > best[0]:
            best = (likelihood, penalty, outputs)
    assert best is not None  # noqa: S101 - there is a penalty
    return best[1], best[2]


def _rows(patients: Sequence[Patient]) -> list[Row]:
    return [row for patient in patients for row in patient.rows]
