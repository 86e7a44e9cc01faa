"""Growth patterns: reports, the consensus rule, and what a distribution of reports says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.staging import (
    PURE,
    REPORTS,
    Pattern,
    ShareDistribution,
    Shares,
    WithinPatientCorrelation,
    patient_pattern,
)


def certain(shares: Shares) -> ShareDistribution:
    return ShareDistribution(np.eye(len(REPORTS))[shares.report])


def test_there_are_231_reports_of_which_one_is_purely_desmoplastic() -> None:
    assert REPORTS.shape == (231, 3)
    assert REPORTS.sum(axis=1) == pytest.approx(1)
    assert len(np.unique(REPORTS, axis=0)) == 231
    assert REPORTS[PURE].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("shares", "predominant", "pure", "half"),
    [
        (Shares(1, 0, 0), Pattern.DESMOPLASTIC, True, True),
        (Shares(0.95, 0.05, 0), Pattern.DESMOPLASTIC, False, True),
        (Shares(0.5, 0.3, 0.2), Pattern.DESMOPLASTIC, False, True),
        (Shares(0.5, 0.5, 0), Pattern.REPLACEMENT, False, True),
        (Shares(0.45, 0.1, 0.45), Pattern.PUSHING, False, False),
        (Shares(0, 0, 1), Pattern.PUSHING, False, False),
    ],
)
def test_a_report_by_the_rules(shares: Shares, predominant: Pattern, *, pure: bool, half: bool) -> None:
    assert shares.predominant is predominant
    assert shares.pure_desmoplastic is pure
    assert shares.at_least(0.5) is half
    known = certain(shares)
    assert known.predominant[predominant] == 1
    assert known.pure_desmoplastic == float(pure)
    assert known.at_least(0.5) == float(half)
    assert known.mean == pytest.approx(shares.as_tuple())


def test_a_trace_of_another_pattern_is_never_rounded_away() -> None:
    assert Shares(0.99, 0.01, 0).report != PURE
    assert REPORTS[Shares(0.99, 0.01, 0).report].tolist() == [0.95, 0.05, 0]


@pytest.mark.parametrize("wrong", [(0.5, 0.3, 0.1), (1.1, -0.1, 0), (50, 30, 20), (math.nan, 0.5, 0.5)])
def test_shares_that_are_no_parts_of_a_whole_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInputError, match="expected numbers from 0 to 1 that sum to 1"):
        Shares(*wrong)


@pytest.mark.parametrize("rounded", [(0.33, 0.33, 0.33), (0.34, 0.33, 0.34), (0.01, 0.5, 0.5)])
def test_shares_rounded_to_whole_per_cent_may_miss_the_whole_by_one(rounded: tuple[float, float, float]) -> None:
    assert Shares(*rounded).as_tuple() == rounded


@pytest.mark.parametrize("wrong", [(0.33, 0.33, 0.32), (0.34, 0.34, 0.34), (0.6, 0.2, 0.16)])
def test_shares_that_rounding_cannot_explain_are_refused(wrong: tuple[float, float, float]) -> None:
    """Three numbers rounded to whole per cent miss 100 by one at most: each is off by half of one."""
    with pytest.raises(InvalidInputError, match="expected numbers from 0 to 1 that sum to 1"):
        Shares(*wrong)


@pytest.mark.parametrize(("desmoplastic", "reached"), [(0.45, False), (0.5, True), (0.55, True)])
def test_the_older_rule_calls_a_metastasis_desmoplastic_from_half_of_its_interface(
    desmoplastic: float, *, reached: bool
) -> None:
    shares = Shares(desmoplastic, 1 - desmoplastic, 0)
    assert shares.at_least() is reached
    assert certain(shares).at_least() == float(reached)


def test_a_patient_is_desmoplastic_only_if_all_metastases_are_purely() -> None:
    pure, nearly = Shares(1, 0, 0), Shares(0.95, 0.05, 0)
    assert patient_pattern([pure, pure]).desmoplastic
    mixed = patient_pattern([pure, nearly, pure])
    assert not mixed.desmoplastic
    assert (mixed.lesions, mixed.pure_lesions, mixed.lowest_desmoplastic_share) == (3, 2, 0.95)
    with pytest.raises(InvalidInputError, match="No metastasis was scored"):
        patient_pattern([])


def test_a_distribution_of_two_reports() -> None:
    both = ShareDistribution(
        0.75 * certain(Shares(1, 0, 0)).probabilities + 0.25 * certain(Shares(0.2, 0.6, 0.2)).probabilities
    )
    assert both.mean == pytest.approx([0.8, 0.15, 0.05])
    assert both.pure_desmoplastic == pytest.approx(0.75)
    assert both.at_least(0.2) == pytest.approx(1)
    assert both.at_least(0.25) == pytest.approx(0.75)
    assert both.at_least(0.6, Pattern.REPLACEMENT) == pytest.approx(0.25)
    assert both.predominant[Pattern.REPLACEMENT] == pytest.approx(0.25)
    assert both.interval(Pattern.DESMOPLASTIC) == (0.2, 1.0)
    assert both.interval(Pattern.DESMOPLASTIC, 0.4) == (1.0, 1.0)
    halved = both.with_pure_desmoplastic(0.5)
    assert halved.pure_desmoplastic == pytest.approx(0.5)
    assert halved.mean == pytest.approx([0.6, 0.3, 0.1])


@given(st.lists(st.floats(0, 1), min_size=231, max_size=231).filter(lambda values: sum(values) > 0.01))
def test_no_two_answers_contradict_each_other(weights: list[float]) -> None:
    said = ShareDistribution(np.array(weights) / sum(weights))
    assert sum(said.predominant.values()) == pytest.approx(1)
    assert said.pure_desmoplastic <= said.at_least(0.95) + 1e-12
    assert said.at_least(0.95) <= said.at_least(0.5) + 1e-12
    assert said.at_least(0.55) <= said.predominant[Pattern.DESMOPLASTIC] + 1e-12
    assert said.mean.sum() == pytest.approx(1)
    for place, pattern in enumerate(Pattern):
        low, high = said.interval(pattern)
        inside = (REPORTS[:, place] >= low - 1e-9) & (REPORTS[:, place] <= high + 1e-9)
        assert said.probabilities[inside].sum() >= 0.9 - 1e-9


def test_probabilities_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="expected 231 that sum to 1"):
        ShareDistribution(np.full(231, 0.1))


# --- several metastases


def test_independent_metastases_multiply() -> None:
    alone = WithinPatientCorrelation(prevalence=0.3, correlation=0.0)
    assert alone.all_desmoplastic([0.9, 0.5, 0.2]) == pytest.approx(0.09)
    assert alone.each_desmoplastic([0.9, 0.5, 0.2]) == pytest.approx([0.9, 0.5, 0.2])
    assert alone.all_desmoplastic([0.7]) == pytest.approx(0.7)


def test_metastases_that_resemble_each_other_are_known_better_together() -> None:
    alike = WithinPatientCorrelation(prevalence=0.3, correlation=0.8)
    assert alike.all_desmoplastic([0.7] * 8) > 0.7
    first, second = alike.each_desmoplastic([0.5, 0.9])
    assert first > 0.5
    assert second > first


def test_a_metastasis_of_which_nothing_is_seen_follows_the_others() -> None:
    """Seen alone, its probability is the prevalence: it carries no evidence of its own."""
    alike = WithinPatientCorrelation(prevalence=0.3, correlation=0.6)
    assert alike.each_desmoplastic([0.6, 0.3])[0] == pytest.approx(0.6, abs=1e-6)
    assert alike.each_desmoplastic([0.6, 0.3])[1] > 0.3


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6), st.floats(0.05, 0.95), st.floats(0, 0.9))
def test_what_can_be_found_sums_to_one(pure: list[float], prevalence: float, correlation: float) -> None:
    model = WithinPatientCorrelation(prevalence, correlation)
    n = len(pure)
    outcomes = [[bool(number >> place & 1) for place in range(n)] for number in range(2**n)]
    chances = [model.probability(pure, outcome) for outcome in outcomes]
    assert sum(chances) == pytest.approx(1)
    assert model.probability(pure, [None] * n) == pytest.approx(1)
    each = [sum(chance for outcome, chance in zip(outcomes, chances, strict=True) if outcome[i]) for i in range(n)]
    assert model.each_desmoplastic(pure) == pytest.approx(each, abs=1e-9)
    assert model.all_desmoplastic(pure) <= min(each) + 1e-9


@pytest.mark.parametrize(("prevalence", "correlation"), [(0, 0.5), (1, 0.5), (0.3, 1), (0.3, -0.1)])
def test_an_impossible_within_patient_correlation_is_refused(prevalence: float, correlation: float) -> None:
    with pytest.raises(InvalidInputError, match="expected the first from 0 to below 1"):
        WithinPatientCorrelation(prevalence, correlation)
