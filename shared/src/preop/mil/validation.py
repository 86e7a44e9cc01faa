"""From bags to an ensemble, and what such ensembles say of bags they have never seen."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from preop.errors import InvalidInputError
from preop.folders import open_resumable_run
from preop.mil.ahead import Each, Member, train_ahead
from preop.mil.bags import Bag, check_alike, digest
from preop.mil.ensembles import Ensemble, fit_temperature
from preop.mil.network import BagNetwork
from preop.mil.predictions import Prediction
from preop.mil.training import Augmentation, Settings, train
from preop.progress import progress_bar

Learner = Callable[[BagNetwork, Sequence[Bag]], BagNetwork]
"""Sets the weights of a new network by bags, all at once; there is nothing to stop early."""

FOLD_STREAM = 0x666F6C64  # keeps the draws of the folds apart from all others of the same seed


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What was said of a bag by an ensemble that had not seen it, nor any other bag of its patient.

    Attributes
    ----------
    prediction
        Of the ensemble.
    fold
        "0", "1", ..., or the name of the centre that was left out.
    """

    prediction: Prediction
    fold: str


def fit(
    make_network: Callable[[], BagNetwork],
    bags: Sequence[Bag],
    settings: Settings,
    *,
    folder: Path | None = None,
    augment: Augmentation | None = None,
    learn: Learner | None = None,
    each: Each | None = None,
) -> Ensemble:
    """Train an ensemble: one member an inner fold, stopped early on that fold, calibrated on all folds together.

    Folds are by patient, stratified by whether a patient is positive. Calibration goes by what each member predicts for the
    fold it did not learn from (but that stopped it early).

    Parameters
    ----------
    make_network
        Gives a network with new weights; called once a member.
    folder
        Where each epoch is kept, so that a run that was stopped goes on from there.
    augment
        Changes instances while learning.
    learn
        Learns instead of the epochs of the settings; the folds then serve calibration alone, and what is kept is one member
        that learned from all bags.
    each
        Trains the members side by side, as :func:`preop.mil.train_ahead` says; they need a folder for that.

    Raises
    ------
    InvalidInputError
        If the head cannot learn from the bags, two have the same name, or there are too few positive or negative
        patients for two folds.
    InvalidOutputError
        If the folder holds another run.
    """
    _check(make_network, bags, settings.seed)
    _claim(folder, make_network, bags, settings)
    members = _members(bags, range(len(bags)), settings, folder)
    with progress_bar("Training", settings.epochs * len(members)) as advance:
        ahead = learn is None and train_ahead(
            make_network, bags, settings, members, each=each, augment=augment, advance=advance
        )
        return _fit(make_network, bags, members, settings, augment, learn, (lambda _: None) if ahead else advance)


def cross_validate(
    make_network: Callable[[], BagNetwork],
    bags: Sequence[Bag],
    settings: Settings,
    *,
    by: Literal["patient", "centre"] = "patient",
    folds: int = 5,
    folder: Path | None = None,
    augment: Augmentation | None = None,
    learn: Learner | None = None,
    each: Each | None = None,
) -> list[HeldOut]:
    """Nested cross-validation: an ensemble is fitted without each outer fold, then predicts it.

    Everything that learns (weights, early stopping, temperature, prior) does so on the other folds.

    Parameters
    ----------
    by
        Outer folds: stratified by patient, or each centre in turn; patients who were there do not train, even if they
        have bags of other centres.
    folds
        Number of outer folds by patient; fewer where there are too few positive or negative patients.
    make_network, folder, augment, learn, each
        As for :func:`fit`.

    Returns
    -------
    One a bag, in the order of the bags.

    Raises
    ------
    InvalidInputError, InvalidOutputError
        As :func:`fit`; also if there are fewer than two centres to leave one out.
    """
    _check(make_network, bags, settings.seed)
    outer = _centres(bags) if by == "centre" else stratified_folds(bags, folds, settings.seed + 1)
    members = {
        name: _members(bags, _without(bags, rows), settings, folder / f"outer_{number}" if folder else None)
        for number, (name, rows) in enumerate(outer.items())
    }
    _claim(folder, make_network, bags, settings, by, folds)
    found: dict[int, HeldOut] = {}
    with progress_bar("Validating", settings.epochs * sum(map(len, members.values()))) as advance:
        todo = [member for part in members.values() for member in part]
        ahead = learn is None and train_ahead(
            make_network, bags, settings, todo, each=each, augment=augment, advance=advance
        )
        for name, rows in outer.items():
            ensemble = _fit(
                make_network, bags, members[name], settings, augment, learn, (lambda _: None) if ahead else advance
            )
            predictions = ensemble.predict(
                [bags[row] for row in rows], instances_per_chunk=settings.instances_per_chunk
            )
            found |= {row: HeldOut(prediction, name) for row, prediction in zip(rows, predictions, strict=True)}
    return [found[row] for row in range(len(bags))]


def stratified_folds(bags: Sequence[Bag], folds: int, seed: int) -> dict[str, list[int]]:
    """Rows of bags of each fold: by patient, as many positive ones in each as can be.

    A patient is positive if one of the bags is, and negative if all are; of others it is open. There are fewer folds
    where there are fewer positive or negative patients.

    Raises
    ------
    InvalidInputError
        If there are fewer than two positive or negative patients.
    """
    states: dict[str, list[bool | None]] = {}
    for bag in bags:
        states.setdefault(bag.owner, []).append(bag.positive)
    kinds: dict[str, list[str]] = {"positive": [], "negative": [], "open": []}
    for owner, known in states.items():
        kinds["positive" if True in known else "open" if None in known else "negative"].append(owner)
    folds = min(folds, len(kinds["positive"]), len(kinds["negative"]))
    if folds < 2:
        raise InvalidInputError(
            f"There are {len(kinds['positive'])} positive and {len(kinds['negative'])} negative patients to learn from; "
            "expected at least two of each."
        )
    generator = np.random.default_rng([FOLD_STREAM, seed])
    shuffled = [owners[place] for owners in kinds.values() for place in generator.permutation(len(owners))]
    fold_of = {owner: str(place % folds) for place, owner in enumerate(shuffled)}
    return {
        str(fold): [row for row, bag in enumerate(bags) if fold_of[bag.owner] == str(fold)] for fold in range(folds)
    }


def _members(bags: Sequence[Bag], rows: Sequence[int], settings: Settings, folder: Path | None) -> list[Member]:
    """One network an inner fold of these rows of the bags."""
    part = [bags[row] for row in rows]
    return [
        Member(
            learning=tuple(rows[place] for place in _without(part, held_out)),
            held_out=tuple(rows[place] for place in held_out),
            seed=settings.seed * 1000 + number,
            checkpoint=folder / f"member_{number}.pt" if folder else None,
        )
        for number, held_out in enumerate(stratified_folds(part, settings.folds, settings.seed).values())
    ]


def _fit(
    make_network: Callable[[], BagNetwork],
    bags: Sequence[Bag],
    members: Sequence[Member],
    settings: Settings,
    augment: Augmentation | None,
    learn: Learner | None,
    advance: Callable[[int], None],
) -> Ensemble:
    parts = []
    for member in members:
        held_out = [bags[row] for row in member.held_out]
        learning = [bags[row] for row in member.learning]
        if learn is not None:
            network = learn(_architecture(make_network, member.seed), learning)
            advance(settings.epochs)
        else:
            network = train(
                make_network,
                learning,
                settings,
                held_out=held_out,
                seed=member.seed,
                checkpoint=member.checkpoint,
                augment=augment,
                advance=advance,
            )
        parts.append((network, held_out))
    temperature = fit_temperature(parts, settings.instances_per_chunk)
    if learn is not None:  # no fold is needed to stop it: what is kept learns from all
        rows = sorted({*members[0].learning, *members[0].held_out})
        whole = learn(_architecture(make_network, settings.seed), [bags[row] for row in rows])
        return Ensemble((whole,), temperature)
    return Ensemble(tuple(network for network, _ in parts), temperature)


def _without(bags: Sequence[Bag], rows: Sequence[int]) -> list[int]:
    """All rows but these, and but other bags of their patients, such as one who was at two centres."""
    left_out = {bags[row].owner for row in rows}
    return [row for row, bag in enumerate(bags) if bag.owner not in left_out]


def _centres(bags: Sequence[Bag]) -> dict[str, list[int]]:
    names = sorted({bag.centre for bag in bags})
    if len(names) < 2:
        raise InvalidInputError(f"All bags come from {len(names)} centre; expected at least two to leave one out.")
    return {name: [row for row, bag in enumerate(bags) if bag.centre == name] for name in names}


def _check(make_network: Callable[[], BagNetwork], bags: Sequence[Bag], seed: int) -> None:
    """Refuse what would fail later, before any work is done."""
    names = [bag.name for bag in bags]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidInputError(f"Two bags are called {min(twice)}; expected a name of its own for each.")
    check_alike(bags)
    _architecture(make_network, seed).head.check(bags)


def _architecture(make_network: Callable[[], BagNetwork], seed: int) -> BagNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make_network()


def _claim(
    folder: Path | None, make_network: Callable[[], BagNetwork], bags: Sequence[Bag], settings: Settings, *more: object
) -> None:
    """Make the folder, or see that it was begun by the same run: network, bags, settings and version of torch."""
    if folder is None:
        return
    network = _architecture(make_network, settings.seed)
    shape = (network.encoder, network.head.name, network.head.features, network.head.options)
    open_resumable_run(
        folder,
        {
            "settings": settings.model_dump_json(),
            "network": hashlib.sha256(repr(shape).encode()).hexdigest(),
            "bags": digest(bags),
            "torch": torch.__version__,
            "protocol": repr(more),
        },
    )
