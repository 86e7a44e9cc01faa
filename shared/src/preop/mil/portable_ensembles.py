"""Ensembles in their portable form: the networks as ONNX, and what follows from their log odds by numpy.

The arithmetic is that of the heads (``heads/base.py``, ``heads/count.py``), in float64: of a count head the Poisson-binomial
distribution of reported positives under each burden, and Bayes' rule over the burdens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidModelError
from preop.folders import sha256
from preop.mil.predictions import (
    COUNTING,
    DESCRIPTION_FILE,
    PORTABLE_FILE,
    WEIGHTS_FILE,
    EnsembleDescription,
    Prediction,
    mean_of,
    read_ensemble_description,
)
from preop.portable import PortableNetwork, has_torch, missing_portable, read_portable, runs_portable, to_portable

if TYPE_CHECKING:
    from torch import nn

    from preop.mil.ensembles import Ensemble

PORTABLE_HEADS = COUNTING | {"mean", "max", "attention", "gated_attention", "additive_attention"}
"""The others run by torch alone."""

_LARGEST_LOG_ODDS = 100.0  # as in heads/count.py
_WEIGHTS = "weights_sha256"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PortableEnsemble:
    """Members whose probabilities are averaged; made by :func:`load_ensemble`."""

    description: EnsembleDescription
    _network: PortableNetwork

    def read(self, name: str, instances: Sequence[NDArray[Any]], *, most: int = 10) -> Prediction:
        """Predict a bag, as :meth:`preop.mil.Ensemble.read` does.

        Parameters
        ----------
        instances
            What the encoder takes: one or more arrays, each with the n instances, at least one, as its first axis.
        most
            Of count heads: ``counts`` ends with this many or more.
        """
        if not instances or not len(instances[0]):
            raise InvalidInputError(f"The bag {name} has no instances; expected one or more.")
        given = [each.astype(np.float32) if each.dtype.kind == "f" else each for each in instances]
        outputs = [each.astype(np.float64) for each in self._network(*given)]
        members, size, temperature = self.description.members, len(instances[0]), self.description.temperature
        per_instance = outputs[0 if self.description.head in COUNTING else 1]
        if per_instance.shape != (members, size):
            raise InvalidModelError(
                f"The ensemble in {self._network.path.parent} gives numbers of the shape {per_instance.shape} for {size} "
                f"instances; expected {(members, size)}."
            )
        if self.description.head in COUNTING:
            log_odds, log_chances, burdens = outputs
            return mean_of(
                [
                    self._counted(name, each, chances, burdens, most)
                    for each, chances in zip(log_odds, log_chances, strict=True)
                ]
            )
        from scipy.special import expit

        bag, contributions = outputs
        return mean_of(
            [
                Prediction(name, float(expit(each / temperature)), shares / temperature)
                for each, shares in zip(bag, contributions, strict=True)
            ]
        )

    def _counted(self, name: str, log_odds: Floats, log_chances: Floats, burdens: Floats, most: int) -> Prediction:
        """What one member says, whose instances have these log odds or log likelihood ratios (n,)."""
        from scipy.special import expit, log_softmax

        found, leak = float(self.description.options["found"]), float(self.description.options["leak"])
        temperature = self.description.temperature
        if not self.description.clustered:
            log_odds, temperature = log_odds / temperature, 1.0
        given = log_odds + burdens[:, None]
        evidence = (np.logaddexp(0, given) - np.logaddexp(0, burdens)[:, None]).sum(axis=1) / temperature
        chance = np.exp(log_softmax(log_softmax(log_chances) + evidence))
        probability = expit(given)
        cells = chance @ np.stack([counts_of(each * found, leak, most) for each in probability])
        log_none, log_some = np.log(np.maximum([cells[0], cells[1:].sum()], np.finfo(np.float64).tiny))
        contributions = chance @ probability
        return Prediction(
            name,
            float(expit(np.clip(log_some - log_none, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS))),
            contributions,
            cells,
            found * float(contributions.sum()) + leak,
        )


def counts_of(probabilities: Floats, leak: float, most: int) -> Floats:
    """Probability of 0, 1, ... positives among independent instances (n,) and a Poisson number of others.

    Returns
    -------
    (most + 1,), of ``most`` or more in the last place. No term is subtracted, so that small ones stay exact.
    """
    cells = np.zeros(most + 1)
    cells[0] = 1
    for probability in probabilities:
        moved = cells * probability
        cells = cells * (1 - probability)
        cells[1:] += moved[:-1]
        cells[-1] += moved[-1]
    if leak > 0:
        from scipy.stats import poisson

        others = poisson.pmf(np.arange(most + 1), leak)
        others[-1] = poisson.sf(most - 1, leak)
        summed = np.convolve(cells, others)
        cells = np.append(summed[:most], summed[most:].sum())
    return cells


def load_ensemble(folder: Path, make_encoder: Callable[[], nn.Module]) -> Ensemble | PortableEnsemble:
    """Read an ensemble in the form that runs here: the portable one without a GPU, if the folder holds it; else torch's.

    Parameters
    ----------
    folder
        A model folder, whose checksums have been compared already.
    make_encoder
        Gives an encoder of the architecture that was trained; not called for the portable form.

    Raises
    ------
    InvalidModelError
        If a file is missing or damaged, forms or weights do not belong together, or torch is needed and not installed.
    """
    path = folder / PORTABLE_FILE
    if path.is_file() and runs_portable():
        return _read(path)
    if not has_torch():
        read_ensemble_description(folder / DESCRIPTION_FILE)
        raise missing_portable(path)
    from preop.mil.ensembles import read_ensemble

    return read_ensemble(folder, make_encoder)


def portable_ensemble(ensemble: Ensemble, instances: Sequence[NDArray[Any]]) -> dict[str, bytes]:
    """Give the portable form of an ensemble, as content of a file by its name; nothing where its head has none.

    Parameters
    ----------
    instances
        Arrays of any bag, for the shape and kind of an instance; their numbers are not looked at.

    Raises
    ------
    InvalidModelError
        If both forms differ.
    """
    import torch

    from preop.mil.one_bag import OneBag

    if ensemble.members[0].head.name not in PORTABLE_HEADS:
        return {}
    rng = np.random.default_rng(0)
    inputs = {f"instances_{number}": torch.from_numpy(_like(each, rng)) for number, each in enumerate(instances)}
    counting = ensemble.members[0].head.name in COUNTING
    content = to_portable(
        OneBag(ensemble.members).eval(),
        inputs,
        ["log_odds", "log_chances", "burdens"] if counting else ["log_odds", "contributions"],
        free=dict.fromkeys(inputs, (0,)),
        facts={_WEIGHTS: hashlib.sha256(ensemble.to_files()[WEIGHTS_FILE]).hexdigest()},
    )
    return {PORTABLE_FILE: content}


def _like(instances: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Random instances of the same shape and kind."""
    shape = (3, *instances.shape[1:])
    if instances.dtype.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32)
    return rng.integers(0, 2 if instances.dtype.kind == "b" else 100, shape).astype(instances.dtype)


def _read(path: Path) -> PortableEnsemble:
    description = read_ensemble_description(path.with_name(DESCRIPTION_FILE))
    if description.head not in PORTABLE_HEADS:
        raise InvalidModelError(f"The head {description.head} of the ensemble in {path.parent} has no portable form.")
    counting = description.head in COUNTING
    if counting and not {"found", "leak"} <= description.options.keys():
        raise InvalidModelError(
            f"The description {path.with_name(DESCRIPTION_FILE)} is not right: options lacks found or leak."
        )
    network = read_portable(path)
    weights = path.with_name(WEIGHTS_FILE)
    if weights.is_file() and sha256(weights) != network.facts.get(_WEIGHTS):
        raise InvalidModelError(
            f"{path} was not made from {weights.name} beside it: write it anew by preop register --portable."
        )
    return PortableEnsemble(description, network)
