import pytest

from preop.statistics import Estimate, difference_in_words, p_value_in_words


@pytest.mark.parametrize(
    ("p_value", "words"), [(0.00004, "p < 0.001"), (0.0312, "p = 0.031"), (0.2345, "p = 0.23"), (1.0, "p = 1.00")]
)
def test_small_p_values_are_written_finer_than_large_ones(p_value, words):
    assert p_value_in_words(p_value) == words


def test_a_difference_is_written_with_its_signs():
    assert difference_in_words(Estimate(0.1, -0.02, 0.22)) == "+0.10 [\N{MINUS SIGN}0.02, +0.22]"
    assert difference_in_words(Estimate.without_interval(-0.25)) == "\N{MINUS SIGN}0.25"
