"""The distribution of a count of unequal Bernoulli variables, against enumeration of every outcome and against scipy."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson, poisson_binom
from torch import Tensor

from preop.counts import log_likelihood, log_probabilities, posterior

PROBABILITIES = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=6)
THINNING = st.sampled_from([1.0, 0.97, 0.4])
LEAK = st.sampled_from([0.0, 0.05, 2.0])


def logits_of(probabilities: list[float]) -> Tensor:
    return torch.logit(torch.tensor([probabilities], dtype=torch.float64))


def outcomes(probabilities: list[float], found: float, leak: float) -> list[tuple[tuple[int, ...], int, float]]:
    """Every state of the instances, every count that can follow from it, and the probability of both."""
    leaks = poisson.pmf(np.arange(30), leak).tolist() if leak else [1.0]
    rows = []
    for state in itertools.product((0, 1), repeat=len(probabilities)):
        prior = math.prod(p if z else 1 - p for p, z in zip(probabilities, state, strict=True))
        positives = sum(state)
        for counted in range(positives + 1):
            thinned = math.comb(positives, counted) * found**counted * (1 - found) ** (positives - counted)
            rows += [(state, counted + leaked, prior * thinned * share) for leaked, share in enumerate(leaks)]
    return rows


def interval(low: float, high: float) -> tuple[Tensor, Tensor]:
    return torch.tensor([low]), torch.tensor([high])


@given(PROBABILITIES, THINNING, LEAK)
@settings(max_examples=60)
def test_the_distribution_is_that_of_enumeration(probabilities: list[float], found: float, leak: float) -> None:
    expected = np.zeros(40)
    for _, count, probability in outcomes(probabilities, found, leak):
        expected[count] += probability
    computed = log_probabilities(logits_of(probabilities), found=found, leak=leak, most=39).exp()[0]
    assert computed.numpy() == pytest.approx(expected, abs=1e-12, rel=1e-9)


@given(PROBABILITIES, THINNING, LEAK, st.integers(0, 4), st.sampled_from([0, 2, math.inf]))
@settings(max_examples=100)
def test_likelihood_and_posterior_of_any_interval_are_those_of_enumeration(
    probabilities: list[float], found: float, leak: float, low: int, width: float
) -> None:
    inside = [row for row in outcomes(probabilities, found, leak) if low <= row[1] <= low + width]
    total = sum(probability for *_, probability in inside)
    if total == 0:
        return
    logits = logits_of(probabilities)
    assert log_likelihood(logits, *interval(low, low + width), found=found, leak=leak).item() == pytest.approx(
        math.log(total), abs=1e-9
    )
    of_instances = [sum(p for z, _, p in inside if z[i]) / total for i in range(len(probabilities))]
    computed = posterior(logits, *interval(low, low + width), found=found, leak=leak)[0]
    assert computed.numpy() == pytest.approx(of_instances, abs=2e-6)


@pytest.mark.parametrize("instances", [1, 2, 3, 44, 45, 500])
def test_the_distribution_is_scipys_for_bags_of_any_size(instances: int) -> None:
    probabilities = np.random.default_rng(instances).beta(0.3, 3, instances).clip(1e-6, 1 - 1e-6)
    logits = torch.logit(torch.tensor(probabilities))[None]
    expected = poisson_binom.pmf(np.arange(instances + 1), probabilities)
    assert log_probabilities(logits).exp()[0].numpy() == pytest.approx(expected, abs=1e-13)


def test_float32_is_exact_at_probabilities_below_1e_30() -> None:
    logits = torch.full((1, 44), -20.0)
    logits[0, ::2] = -25.0
    single = log_probabilities(logits)
    double = log_probabilities(logits.double())
    assert double[0, 5].item() < math.log(1e-30)
    assert double[0, 44].item() < -900
    assert single[0].numpy() == pytest.approx(double[0].numpy(), rel=2e-6)


def test_at_least_one_is_exact_where_all_are_unlikely() -> None:
    """One minus the probability of none would round to zero in float32."""
    computed = log_likelihood(torch.full((1, 44), -25.0), *interval(1, math.inf))
    assert computed.item() == pytest.approx(math.log(44) - 25.0, abs=1e-4)


def test_the_last_cell_pools_all_higher_counts_exactly() -> None:
    logits = torch.linspace(-3, 2, 30, dtype=torch.float64)[None]
    full, pooled = log_probabilities(logits).exp(), log_probabilities(logits, most=4).exp()
    assert pooled.shape == (1, 5)
    assert pooled[0, :4].numpy() == pytest.approx(full[0, :4].numpy(), rel=1e-12)
    assert pooled[0, 4].item() == pytest.approx(full[0, 4:].sum().item(), rel=1e-12)


def test_padding_changes_nothing() -> None:
    logits = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 9, [True] * 4 + [False] * 5])
    padded = log_probabilities(logits, mask)
    alone = log_probabilities(logits[1:, :4])
    assert padded[1, :5].numpy() == pytest.approx(alone[0].numpy(), abs=1e-6)
    assert torch.isneginf(padded[1, 5:]).all()
    assert (posterior(logits, torch.ones(2), torch.ones(2), mask)[1, 4:] == 0).all()


def test_the_order_of_instances_changes_nothing() -> None:
    logits = torch.randn(1, 44, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    order = torch.randperm(44, generator=torch.Generator().manual_seed(2))
    assert log_probabilities(logits[:, order]).numpy() == pytest.approx(log_probabilities(logits).numpy(), abs=1e-10)


def test_a_bag_without_instances_counts_what_leaks_in() -> None:
    empty = torch.zeros(2, 0)
    assert log_likelihood(empty, torch.tensor([0.0, 1.0]), torch.tensor([0.0, math.inf])).tolist() == [0.0, -math.inf]
    leaking = log_likelihood(empty, torch.tensor([0.0, 2.0]), torch.tensor([0.0, 2.0]), leak=0.1)
    assert leaking.numpy() == pytest.approx(poisson.logpmf([0, 2], 0.1), abs=1e-6)


def test_an_impossible_count_has_no_gradient_and_says_nothing_of_the_instances() -> None:
    logits = torch.tensor([[0.5, -1.0], [0.5, -1.0]], requires_grad=True)
    low = torch.tensor([5.0, 1.0])
    likelihood = log_likelihood(logits, low, low)
    assert torch.isneginf(likelihood[0])
    likelihood[1:].sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert posterior(logits, low, low)[0].tolist() == pytest.approx(torch.sigmoid(logits[0]).tolist())


def test_knowing_that_all_or_none_are_positive_decides_every_instance() -> None:
    logits = torch.tensor([[2.0, -3.0, 0.0]])
    assert posterior(logits, *interval(3, 3))[0].tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    assert posterior(logits, *interval(0, 0))[0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_an_interval_without_bounds_teaches_nothing() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    likelihood = log_likelihood(logits, torch.zeros(3), torch.full((3,), math.inf))
    likelihood.sum().backward()
    assert likelihood.tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.abs().max().item() < 1e-6


@pytest.mark.parametrize(("found", "leak"), [(1.0, 0.0), (0.9, 0.3)])
def test_gradients_are_those_of_finite_differences(found: float, leak: float) -> None:
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    low, high = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0.0, 3.0, math.inf])
    assert torch.autograd.gradcheck(lambda x: log_likelihood(x, low, high, found=found, leak=leak), logits)


def test_sure_instances_keep_gradients_finite() -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    log_likelihood(logits, *interval(2, 2)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0.0, 0.0, 0.5], abs=1e-6)


def test_half_precision_is_computed_in_single() -> None:
    logits = torch.tensor([[-6.0, -7.0, 1.5]])
    assert log_probabilities(logits.half())[0].tolist() == pytest.approx(log_probabilities(logits)[0].tolist())
