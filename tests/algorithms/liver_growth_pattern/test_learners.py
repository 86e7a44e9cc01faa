"""Likelihood, regression, network and stacking on small cases whose answer is known."""

import numpy as np
import pytest
import torch

from liver_growth_pattern.combination import fit_stack, fit_within_patient_correlation, predict_patient
from liver_growth_pattern.likelihood import Known, log_likelihood, log_report_probabilities
from liver_growth_pattern.network import make_network, outputs_of, turned
from liver_growth_pattern.regression import fit_regression
from liver_growth_pattern.reports import UNKNOWN, distributions
from liver_growth_pattern.settings import NetworkSettings
from preop.mil import Bag, train
from preop.mil import Settings as MilSettings
from preop.staging import PURE, REPORTS, Shares, WithinPatientCorrelation

MIXED = Shares(0.4, 0.6, 0).report


def known(reports: list[int], patients: list[int], states: list[int]) -> Known:
    return Known(torch.tensor(reports), torch.tensor(patients), torch.tensor(states))


def simulated(count: int, seed: int = 0) -> tuple[np.ndarray, list[dict[str, float]], Known]:
    """Patients with one to three metastases whose desmoplastic share follows one feature."""
    rng = np.random.default_rng(seed)
    rows, reports, patients = [], [], []
    for number in range(count):
        common = rng.normal()
        for _ in range(rng.integers(1, 4)):
            x = common + 0.5 * rng.normal()
            share = np.clip(0.6 + 0.4 * x, 0, 1)
            desmoplastic = round(share * 20) / 20
            reports.append(Shares(desmoplastic, 1 - desmoplastic, 0).report)
            rows.append({"a": x + 0.1 * rng.normal(), "b": rng.normal(), "same": 1.0})
            patients.append(number)
    states = [
        int(any(report != PURE for report, owner in zip(reports, patients, strict=True) if owner == number))
        for number in range(count)
    ]
    return np.array(REPORTS[reports]), rows, known(reports, patients, states)


# --- likelihood


def test_outputs_are_one_distribution_over_all_reports() -> None:
    outputs = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, -2.0, 4.0, 1.0], [-20.0, 9.0, -9.0, 0.0]])
    table = log_report_probabilities(outputs).exp()
    assert table.sum(dim=1).numpy() == pytest.approx(1)
    assert table[0, PURE].item() == pytest.approx(0.5)
    assert table[1, PURE].item() == pytest.approx(1 / (1 + np.exp(-3)))
    assert table[0, :PURE].numpy() == pytest.approx(0.5 / 230)


def test_the_likelihood_of_a_report_is_that_of_the_table() -> None:
    outputs = 2 * torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    reports = torch.randint(0, 231, (60,), generator=torch.Generator().manual_seed(1))
    reports[:5] = PURE
    one_each = Known(reports, torch.arange(60), torch.full((60,), UNKNOWN))
    expected = log_report_probabilities(outputs)[torch.arange(60), reports]
    assert log_likelihood(outputs, one_each).numpy() == pytest.approx(expected.numpy(), abs=1e-9)


def test_reported_metastases_add_up_and_the_patients_pattern_adds_nothing() -> None:
    outputs = torch.zeros(2, 4)
    one = log_likelihood(outputs, known([PURE, MIXED], [0, 0], [1]))
    assert one.item() == pytest.approx(np.log(0.5) + np.log(0.5 / 230))
    assert log_likelihood(outputs, known([PURE, MIXED], [0, 0], [UNKNOWN])).item() == pytest.approx(one.item())


def test_a_patient_of_whom_only_the_pattern_is_known() -> None:
    outputs = torch.tensor([[np.log(3.0), 0, 0, 0], [0.0, 0, 0, 0], [0.0, 0, 0, 0]])
    both = known([UNKNOWN] * 3, [0, 0, 1], [0, 1])
    assert log_likelihood(outputs, both).exp().numpy() == pytest.approx([0.75 * 0.5, 0.5])
    either = known([UNKNOWN] * 3, [0, 0, 1], [1, UNKNOWN])
    assert log_likelihood(outputs, either).exp().numpy() == pytest.approx([1 - 0.75 * 0.5, 1])


def test_what_is_reported_of_some_leaves_the_others_their_part() -> None:
    outputs = torch.zeros(2, 4)
    pure_and_open = log_likelihood(outputs, known([PURE, UNKNOWN], [0, 0], [1])).exp().item()
    assert pure_and_open == pytest.approx(0.5 * 0.5)
    explained = log_likelihood(outputs, known([MIXED, UNKNOWN], [0, 0], [1])).exp().item()
    assert explained == pytest.approx(0.5 / 230)


def test_extreme_outputs_keep_finite_gradients() -> None:
    outputs = torch.tensor([[40.0, 30.0, -30.0, 5.0], [-40.0, -30.0, -30.0, -30.0]], requires_grad=True)
    log_likelihood(outputs, known([MIXED, UNKNOWN], [0, 1], [1, 0])).sum().backward()
    assert outputs.grad is not None
    assert bool(outputs.grad.isfinite().all())


# --- regression


def test_regression_finds_the_feature_that_counts() -> None:
    shares, rows, labels = simulated(120)
    fitted = fit_regression(rows, labels, penalty=0.003)
    assert fitted.features == ("a", "b")
    weights = np.array(fitted.weights)
    assert weights[0, 0] > 3 * abs(weights[0, 1])
    said = np.array([each.mean[0] for each in distributions(fitted.predict(rows))])
    assert np.abs(said - shares[:, 0]).mean() < 0.6 * np.abs(shares[:, 0] - shares[:, 0].mean()).mean()


def test_regression_learns_from_patients_of_whom_only_the_pattern_is_known() -> None:
    _, rows, labels = simulated(200)
    weak = labels._replace(reports=torch.full_like(labels.reports, UNKNOWN))
    fitted = fit_regression(rows, weak, penalty=0.003)
    assert np.array(fitted.weights)[0, 0] > 0.5


def test_contributions_and_bias_add_up_to_the_log_odds() -> None:
    _, rows, labels = simulated(30)
    fitted = fit_regression(rows, labels, penalty=0.01)
    total = fitted.contributions(rows[0]).sum() + fitted.bias[0]
    assert total == pytest.approx(fitted.predict(rows[:1])[0, 0])


def test_a_feature_that_is_not_known_counts_as_its_median() -> None:
    _, rows, labels = simulated(30)
    fitted = fit_regression(rows, labels, penalty=0.01)
    assert fitted.contributions({})[0] == 0
    median = dict(zip(fitted.features, fitted.middle, strict=True))
    assert fitted.predict([{}]) == pytest.approx(fitted.predict([median]))


# --- network


def bag(lesions: int = 2) -> Bag:
    patches = torch.randint(0, 256, (lesions, 8, 2, 18, 5, 5), dtype=torch.uint8)
    return Bag("p", (patches,), 1.0, float("inf"), torch.tensor([MIXED] * lesions))


def test_the_order_of_places_changes_nothing() -> None:
    torch.manual_seed(0)
    network = make_network(NetworkSettings(channels=(4, 4, 4)))
    first = bag()
    shuffled = Bag("q", (first.instances[0][:, torch.randperm(8)],))
    one, other = outputs_of(network, [first, shuffled])
    assert one.shape == (2, 4)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_loss_of_the_network_is_the_likelihood_of_the_reports() -> None:
    from preop.mil import collate

    torch.manual_seed(0)
    network = make_network(NetworkSettings(channels=(4, 4, 4))).eval()
    bags = [bag(2), Bag("r", bag(1).instances, 0.0, 0.0, torch.tensor([UNKNOWN]))]
    batch = collate(bags)
    reading = network(batch)
    loss = network.head.loss(reading, batch.low, batch.high, batch.labels)
    outputs = torch.from_numpy(np.concatenate(outputs_of(network, bags)))
    expected = log_likelihood(outputs, known([MIXED, MIXED, UNKNOWN], [0, 0, 1], [1, 0]))
    assert loss.detach().numpy() == pytest.approx(-expected.numpy(), rel=1e-4)


def test_turning_patches_keeps_the_way_out_and_the_liver() -> None:
    (patches,) = bag().instances
    (changed,) = turned((patches,), torch.Generator().manual_seed(1))
    assert changed.shape == patches.shape
    for depth in (0, 7, 17):
        before, after = (each[0, 0, 1, depth].flatten().sort().values for each in (patches, changed))
        assert before.tolist() == after.tolist()


def test_a_network_begins_with_what_would_be_said_without_looking() -> None:
    bags = [Bag(f"p{i}", bag(1).instances, instance_labels=torch.tensor([PURE if i < 3 else MIXED])) for i in range(10)]
    network = make_network(NetworkSettings(channels=(4, 4, 4)))
    network.head.start_from(bags)
    (said,) = distributions(network.head.outputs.bias.detach().numpy()[None])  # type: ignore[union-attr]
    assert said.pure_desmoplastic == pytest.approx(0.3, abs=0.02)
    others = said.with_pure_desmoplastic(0.0).mean
    assert others == pytest.approx(REPORTS[MIXED], abs=0.08)


def test_the_network_learns_in_seconds_where_a_capsule_is_seen() -> None:
    rng = np.random.default_rng(0)

    def lesion(number: int) -> Bag:
        share = number % 3 / 2
        patches = rng.normal(128, 8, (1, 24, 2, 18, 5, 5))
        patches[:, : round(24 * share), 0, 8:10] += 25
        report = Shares(share, 1 - share, 0).report
        return Bag(str(number), (torch.from_numpy(patches.astype(np.uint8)),), instance_labels=torch.tensor([report]))

    training, others = ([lesion(number) for number in range(first, first + 60)] for first in (0, 60))
    settings = MilSettings(epochs=12, learning_rate=5e-3, instances_per_batch=12)
    network = train(lambda: make_network(NetworkSettings(channels=(8, 8, 8))), training, settings)
    said = distributions(np.concatenate(outputs_of(network, others)))
    error = [abs(each.mean[0] - number % 3 / 2) for each, number in zip(said, range(60, 120), strict=True)]
    assert np.mean(error) < 0.15


# --- stacking


def outputs_from(feature: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    seen = feature + noise * rng.normal(size=len(feature))
    return np.stack([3 * seen - 2, 1.5 * seen, -1.5 * seen, np.full(len(seen), -3.0)], axis=1)


def test_stacking_is_no_worse_than_either_part_and_leaves_out_noise() -> None:
    rng = np.random.default_rng(3)
    _, rows, labels = simulated(250)
    feature = np.array([row["a"] for row in rows])
    good, other = outputs_from(feature, 0.4, rng), outputs_from(feature, 0.4, rng)
    noise = outputs_from(rng.normal(size=len(feature)), 0.4, rng)

    def likelihood(**parts: np.ndarray) -> float:
        stack = fit_stack(parts, labels)  # type: ignore[arg-type]
        return float(log_likelihood(torch.from_numpy(stack.combine(parts)), labels).mean())  # type: ignore[arg-type]

    assert likelihood(radiomics=good, network=other) > likelihood(radiomics=good) + 0.02
    stack = fit_stack({"radiomics": good, "network": noise}, labels)
    assert stack.pure_weights["network"] < 0.25 * stack.pure_weights["radiomics"]


def test_within_patient_correlation_is_found_where_there_is_some() -> None:
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(150), 3)
    alike = np.repeat(rng.random(150) < 0.3, 3)
    apart = rng.random(450) < 0.3
    outputs = np.zeros((450, 4))
    outputs[:, 0] = np.log(0.3 / 0.7)
    found = [
        fit_within_patient_correlation(
            outputs, known([PURE if each else MIXED for each in pure], patients.tolist(), [UNKNOWN] * 150)
        )
        for pure in (alike, apart)
    ]
    assert found[0].correlation > 0.85
    assert found[1].correlation < 0.25
    assert found[1].prevalence == pytest.approx(apart.mean())


def test_a_patient_is_as_likely_desmoplastic_as_all_metastases_are() -> None:
    outputs = np.array([[2.0, 0, 0, 0], [1.0, 0, 0, 0]])
    alone = predict_patient(outputs, WithinPatientCorrelation(prevalence=0.3, correlation=0.0))
    expected = 1 / (1 + np.exp(-2)) / (1 + np.exp(-1))
    assert 1 - alone.non_desmoplastic == pytest.approx(expected)
    together = predict_patient(outputs, WithinPatientCorrelation(prevalence=0.3, correlation=0.8))
    assert together.non_desmoplastic < alone.non_desmoplastic
    assert 1 - together.non_desmoplastic <= min(each.pure_desmoplastic for each in together.lesions)
