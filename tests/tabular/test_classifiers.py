"""The classifiers of a pipeline, beside those of scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from preop.tabular.classifiers import fit_logistic


@pytest.mark.parametrize("strength", [1e-4, 0.1, 10.0])
@pytest.mark.parametrize("separates", [False, True])
def test_a_logistic_regression_is_that_of_scikit_learn(*, strength: float, separates: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 5))
    outcome = values[:, 0] + (0 if separates else rng.standard_normal(30)) > 0.3
    found = fit_logistic(values, outcome, strength)
    theirs = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=1000).fit(values, outcome)
    assert found.coefficients == pytest.approx(theirs.coef_[0], rel=1e-9)
    assert found.intercept == pytest.approx(theirs.intercept_[0], rel=1e-9)
