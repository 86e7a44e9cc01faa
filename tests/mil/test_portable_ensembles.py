"""Ensembles in their portable form give the predictions of torch."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from preop.errors import InvalidInputError, InvalidModelError
from preop.mil import HEAD_NAMES, HEADS, BagNetwork, Ensemble, load_ensemble, make_head, portable_ensemble
from preop.mil import portable_ensembles as module
from preop.mil.heads import CountHead
from preop.mil.portable_ensembles import COUNTING, PORTABLE_HEADS, PortableEnsemble, counts_of

FEATURES, MEASURED = 5, 3
ABSOLUTE = 1e-5
"""Of probabilities and contributions, which are in float32 by torch and in float64 here."""


def encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(MEASURED, FEATURES), nn.ReLU())


def ensemble_of(head: str, **options: float) -> Ensemble:
    torch.manual_seed(1)
    members = tuple(BagNetwork(encoder(), make_head(head, FEATURES, **options)).eval() for _ in range(2))
    for member in members:
        if isinstance(member.head, CountHead) and member.head.log_chances is not None:
            nn.init.normal_(member.head.log_chances)
    return Ensemble(members, temperature=1.4)


def write(folder: Path, ensemble: Ensemble) -> None:
    for name, content in (ensemble.to_files() | portable_ensemble(ensemble, [np.zeros((1, MEASURED))])).items():
        (folder / name).write_bytes(content)


def test_the_names_are_those_of_the_heads() -> None:
    assert HEADS.keys() == HEAD_NAMES
    assert {name for name, head in HEADS.items() if issubclass(head, CountHead)} == COUNTING
    assert PORTABLE_HEADS <= HEAD_NAMES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("count", {"found": 0.9, "leak": 0.2, "clustered": True}),
        ("count", {}),
        *((name, {}) for name in sorted(PORTABLE_HEADS - COUNTING)),
    ],
)
def test_predictions_are_those_of_torch(tmp_path: Path, head: str, options: dict[str, float]) -> None:
    torchs = ensemble_of(head, **options)
    write(tmp_path, torchs)
    ours = load_ensemble(tmp_path, encoder)
    assert isinstance(ours, PortableEnsemble)
    for size in (1, 2, 23):
        instances = [np.random.default_rng(size).normal(size=(size, MEASURED)).astype(np.float32)]
        found, expected = ours.read("p", instances, most=4), torchs.read("p", instances, most=4)
        assert found.probability == pytest.approx(expected.probability, abs=ABSOLUTE)
        np.testing.assert_allclose(found.contributions, expected.contributions, atol=ABSOLUTE)
        assert (found.counts is None) is (head not in COUNTING)
        if found.counts is not None and expected.counts is not None:
            np.testing.assert_allclose(found.counts, expected.counts, atol=ABSOLUTE)
            assert found.expected == pytest.approx(expected.expected, abs=10 * ABSOLUTE)


@pytest.mark.slow
def test_a_form_that_was_made_from_other_weights_is_refused(tmp_path: Path) -> None:
    ensemble = ensemble_of("mean")
    write(tmp_path, ensemble)
    with torch.no_grad():
        next(ensemble.members[0].parameters()).add_(1)
    (tmp_path / "bags.safetensors").write_bytes(ensemble.to_files()["bags.safetensors"])
    with pytest.raises(InvalidModelError, match=r"was not made from bags\.safetensors"):
        load_ensemble(tmp_path, encoder)


def test_a_bag_without_instances_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no instances"):
        PortableEnsemble(None, None).read("p", [np.zeros((0, MEASURED))])  # type: ignore[arg-type]


def test_heads_without_a_portable_form_run_by_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ensemble_of("clam_sb"))
    assert not (tmp_path / "bags.onnx").exists()
    assert isinstance(load_ensemble(tmp_path, encoder), Ensemble)
    monkeypatch.setattr(module, "has_torch", lambda: False)
    with pytest.raises(InvalidModelError, match=r"can only be run by torch.*bags\.onnx"):
        load_ensemble(tmp_path, encoder)


def test_numbers_of_positives_are_those_of_all_combinations() -> None:
    probabilities, leak, most = np.array([0.1, 0.5, 0.8, 0.3]), 0.4, 3
    expected = np.zeros(most + 1)
    for positive in itertools.product([0, 1], repeat=4):
        chance = np.prod(np.where(positive, probabilities, 1 - probabilities))
        for others in range(40):
            poisson = math.exp(-leak) * leak**others / math.factorial(others)
            expected[min(sum(positive) + others, most)] += chance * poisson
    np.testing.assert_allclose(counts_of(probabilities, leak, most), expected, rtol=1e-12)
