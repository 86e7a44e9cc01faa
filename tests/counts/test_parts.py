"""Parts of a whole: the Dirichlet-multinomial distribution against scipy's, and at its limits."""

import numpy as np
import pytest
import torch
from scipy.stats import betabinom, dirichlet_multinomial

from preop.counts import log_probabilities_of_parts

PARTS = torch.tensor([(a, b, 20 - a - b) for a in range(21) for b in range(21 - a)])


@pytest.mark.parametrize("alpha", [(1.0, 1.0, 1.0), (0.2, 3.0, 7.5), (400.0, 20.0, 1.0), (1e-2, 1e-2, 1e-2)])
def test_the_probabilities_are_those_of_scipy(alpha: tuple[float, float, float]) -> None:
    found = log_probabilities_of_parts(torch.tensor(alpha, dtype=torch.float64).log(), PARTS).numpy()
    assert found == pytest.approx(dirichlet_multinomial(list(alpha), 20).logpmf(PARTS.numpy()), rel=1e-9, abs=1e-9)
    assert np.exp(found).sum() == pytest.approx(1)


def test_one_kind_against_the_rest_is_beta_binomial() -> None:
    found = log_probabilities_of_parts(torch.tensor([2.0, 0.5, 1.5]).log(), PARTS).exp().numpy()
    of_first = np.bincount(PARTS[:, 0].numpy(), weights=found)
    assert of_first == pytest.approx(betabinom(20, 2.0, 2.0).pmf(np.arange(21)), rel=1e-5)


def test_equal_concentrations_of_one_make_every_report_as_likely() -> None:
    assert log_probabilities_of_parts(torch.zeros(3), PARTS).exp().numpy() == pytest.approx(1 / 231)


def test_gradients_are_finite_for_shares_of_nothing() -> None:
    logs = torch.tensor([[-6.0, 6.0, -6.0], [0.0, 0.0, 0.0]], requires_grad=True)
    log_probabilities_of_parts(logs, PARTS)[:, -1].sum().backward()
    assert logs.grad is not None
    assert bool(logs.grad.isfinite().all())
