import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.statistics import intraclass_correlation

# Shrout & Fleiss 1979, table 2: four judges, six targets; table 4: ICC(2,1) = .29.
JUDGES = np.array([[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4], [8, 2, 8, 6, 9, 7]], float)


def test_published_agreement_of_four_judges():
    assert intraclass_correlation(JUDGES[:, :, None]) == pytest.approx([0.2898], abs=5e-5)


def test_measuring_again_with_the_same_result_agrees_fully():
    values = np.random.default_rng(0).normal(size=(10, 3))
    assert intraclass_correlation([values, values, values]) == pytest.approx(np.ones(3))


def test_a_shift_of_all_subjects_is_a_disagreement():
    values = np.random.default_rng(0).normal(size=(50, 1))
    assert intraclass_correlation([values, values + 5])[0] < 0.2


def test_subjects_without_a_measurement_do_not_count():
    incomplete = np.concatenate([JUDGES, np.full((4, 1), np.nan)], axis=1)
    incomplete[0, -1] = 3
    assert intraclass_correlation(incomplete[:, :, None]) == pytest.approx([0.2898], abs=5e-5)


def test_nothing_is_said_of_features_that_were_not_measured_again():
    measured_once = np.stack([np.arange(6.0), np.full(6, np.nan)])
    assert np.isnan(intraclass_correlation(measured_once[:, :, None])).all()
    with pytest.raises(InvalidInputError, match="at least two"):
        intraclass_correlation(JUDGES[:1, :, None])
