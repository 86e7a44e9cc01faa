import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.evaluate import evaluate, main
from preop.errors import InvalidInputError
from preop.grandchallenge.predictions import read_predictions

EVALUATION = Path(__file__).parents[2] / "evaluation"
CASES = EVALUATION / "test"

BINARY = """
title = "Lung metastasis"
study = "sarcoma"
kind = "binary"
case_sockets = ["ct", "mr"]
prediction_socket = "likelihood"
threshold_socket = "explanation"
threshold_key = "decision_threshold"
reference_column = "metastasis"
simulated = true
source = "Made for this test."
resamples = 200
"""
ORDINAL = """
title = "Nodal stage"
study = "lung"
kind = "ordinal"
case_sockets = ["ct"]
prediction_socket = "stage"
reference_column = "stage"
categories = ["N0", "N1", "N2", "N3"]
simulated = false
source = "Made for this test."
resamples = 200
"""


@dataclass
class FakeJob:
    """What the evaluation asks of a job."""

    pk: str
    inputs: dict
    values: dict
    succeeded: bool = True
    error_message: str = ""
    folder: Path = field(default=Path("/input/pk/output"))

    def case_name(self, slug):
        return self.inputs.get(slug)

    def value(self, slug):
        if slug not in self.values:
            raise InvalidInputError(f"{slug}.json is missing in {self.folder}.")
        return self.values[slug]


def likelihood(case, value, threshold=0.5, **changes):
    values = {"likelihood": value, "explanation": {"decision_threshold": threshold}}
    return FakeJob(f"job-of-{case}", {"ct": case}, values, **changes)


def stage(case, value):
    return FakeJob(f"job-of-{case}", {"ct": case}, {"stage": value})


def ground_truth(folder, task, reference):
    folder.mkdir(exist_ok=True)
    (folder / "task.toml").write_text(task, encoding="utf-8")
    (folder / "reference.csv").write_text(reference, encoding="utf-8")
    return folder


@pytest.fixture
def binary_truth(tmp_path):
    return ground_truth(tmp_path / "truth", BINARY, "case,metastasis,centre\na,1,Leiden\nb,1,Delft\nc,0,Delft\nd,0,\n")


@pytest.fixture
def ordinal_truth(tmp_path):
    return ground_truth(tmp_path / "truth", ORDINAL, "case,stage\na,N0\nb,N1\nc,N2\nd,N3\n")


def results_of(metrics):
    return {result["case"]: result for result in metrics["results"]}


def approximately(value):
    """The same content with its floats compared to within rounding."""
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value, abs=1e-9) if isinstance(value, float) else value


@pytest.mark.parametrize("case", ["binary", "separated", "ordinal"])
def test_bundled_case_gives_what_is_expected(case):
    metrics = evaluate(read_predictions(CASES / case / "input"), CASES / case / "ground_truth")
    expected = json.loads((CASES / case / "expected" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == approximately(expected)


def test_expected_figures_of_the_binary_case_are_those_worked_out_by_hand():
    # Positives score .9 .6 .3 0 (missing file), negatives .1 .7 1 1 1 (failed, NaN, no job): 4 of 20 pairs in order.
    aggregates = json.loads((CASES / "binary" / "expected" / "metrics.json").read_text())["aggregates"]
    assert aggregates["cases"] == {"all": 9, "valid": 5, "invalid": 2, "failed": 1, "missing": 1}
    assert aggregates["auc"]["value"] == pytest.approx(4 / 20)
    assert aggregates["counts"] == {
        "true_positives": 2,
        "false_positives": 4,
        "true_negatives": 1,
        "false_negatives": 2,
    }
    assert aggregates["brier_score"] == pytest.approx((0.01 + 0.16 + 0.49 + 1 + 0.01 + 0.49 + 1 + 1 + 1) / 9)


def test_expected_figures_of_the_ordinal_case_are_those_worked_out_by_hand():
    # Squared distances: observed 1 + 1 + 1 + 9 = 12; by chance 28, from margins 4 2 2 2 and 5 2 1 2.
    aggregates = json.loads((CASES / "ordinal" / "expected" / "metrics.json").read_text())["aggregates"]
    assert aggregates["accuracy"]["value"] == 6 / 10
    assert aggregates["quadratic_weighted_kappa"]["value"] == pytest.approx(1 - 12 / 28)
    assert aggregates["confusion"]["N3"] == {"N0": 1, "N1": 0, "N2": 0, "N3": 1}


def test_main_writes_the_metrics_where_the_platform_looks(tmp_path, monkeypatch):
    for name, folder in {
        "INPUT": CASES / "binary" / "input",
        "GROUND_TRUTH": CASES / "binary" / "ground_truth",
        "OUTPUT": tmp_path,
    }.items():
        monkeypatch.setenv(f"PREOP_{name}", str(folder))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    expected = json.loads((CASES / "binary" / "expected" / "metrics.json").read_text(encoding="utf-8"))
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == approximately(expected)


@pytest.mark.parametrize("task", sorted((EVALUATION / "ground_truth").glob("*/task.toml")), ids=lambda p: p.parent.name)
def test_every_bundled_task_can_be_read(task, tmp_path):
    truth = ground_truth(tmp_path / "truth", task.read_text(encoding="utf-8"), "case,x\n")
    with pytest.raises(InvalidInputError, match=r"reference\.csv has no case"):
        evaluate([], truth)


def test_order_of_jobs_does_not_matter(binary_truth):
    jobs = [likelihood("a", 0.9), likelihood("b", 0.3), likelihood("c", 0.4), likelihood("d", 0.1)]
    assert evaluate(jobs, binary_truth) == evaluate(jobs[::-1], binary_truth)


def test_first_socket_present_names_the_case(binary_truth):
    jobs = [likelihood("a", 0.9), likelihood("b", 0.8), likelihood("c", 0.2), likelihood("d", 0.1)]
    jobs[0].inputs = {"ct": "a", "mr": "another name"}
    jobs[1].inputs = {"mr": "b"}
    assert evaluate(jobs, binary_truth)["aggregates"]["cases"]["valid"] == 4


def test_other_columns_of_the_reference_are_kept_beside_each_case(binary_truth):
    results = results_of(evaluate([], binary_truth))
    assert results["a"]["attributes"] == {"centre": "Leiden"}
    assert results["d"]["attributes"] == {"centre": ""}


@pytest.mark.parametrize("value", [None, "0.9", True, 1.2, -0.1, math.nan, math.inf, [0.9], {"value": 0.9}])
def test_what_is_not_a_likelihood_is_scored_as_certain_of_the_wrong_outcome(value, binary_truth):
    jobs = [likelihood("a", value), likelihood("b", 0.8), likelihood("c", 0.2), likelihood("d", value)]
    results = results_of(evaluate(jobs, binary_truth))
    for case, worst in {"a": 0.0, "d": 1.0}.items():
        assert results[case]["status"] == "invalid"
        assert "expected a number between 0 and 1" in results[case]["reason"]
        assert (results[case]["scored_as"], results[case]["correct"], results[case]["output"]) == (worst, False, None)


def test_a_failed_and_an_absent_job_are_scored_as_the_worst(binary_truth):
    failed = likelihood("a", 0.9, succeeded=False, error_message="The scan shows no tumour.")
    metrics = evaluate([failed, likelihood("b", 0.8), likelihood("c", 0.2)], binary_truth)
    results = results_of(metrics)
    assert results["a"]["reason"] == "The scan shows no tumour."
    assert (results["a"]["status"], results["a"]["scored_as"]) == ("failed", 0.0)
    assert (results["d"]["status"], results["d"]["scored_as"]) == ("missing", 1.0)
    assert metrics["aggregates"]["cases"] == {"all": 4, "valid": 2, "invalid": 0, "failed": 1, "missing": 1}


def test_a_prediction_without_its_threshold_is_no_decision_and_not_valid(binary_truth):
    jobs = [likelihood("a", 0.9), likelihood("b", 0.8), likelihood("c", 0.2), likelihood("d", 0.1)]
    jobs[0].values["explanation"] = {"other": 1}
    jobs[1].values["explanation"] = {"decision_threshold": "half"}
    del jobs[2].values["explanation"]
    results = results_of(evaluate(jobs, binary_truth))
    assert "does not state 'decision_threshold'" in results["a"]["reason"]
    assert "decision_threshold of explanation is 'half'" in results["b"]["reason"]
    assert [results[case]["status"] for case in "abcd"] == ["invalid", "invalid", "invalid", "valid"]


def test_a_reason_does_not_depend_on_where_the_files_lie(binary_truth):
    jobs = [FakeJob("x", {"ct": "a"}, {}, folder=Path("/somewhere/x/output"))]
    assert results_of(evaluate(jobs, binary_truth))["a"]["reason"] == "likelihood.json is missing in x/output."


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_the_worst_is_the_wrong_decision_at_any_threshold(threshold, binary_truth):
    jobs = [likelihood("b", 0.6, threshold), likelihood("c", 0.4, threshold)]
    results = results_of(evaluate(jobs, binary_truth))
    assert not results["a"]["correct"]
    assert not results["d"]["correct"]


def test_nothing_submitted_scores_the_worst_in_everything_and_stays_finite(binary_truth, ordinal_truth):
    stages = evaluate([], ordinal_truth)["aggregates"]
    assert stages["accuracy"]["value"] == 0
    ground_truth(binary_truth, BINARY, "case,metastasis\na,1\nb,0\n")
    aggregates = evaluate([], binary_truth)["aggregates"]
    assert aggregates["threshold"] is None
    for name in ("auc", "sensitivity", "specificity", "accuracy"):
        assert aggregates[name]["value"] == 0
    assert aggregates["brier_score"] == 1


def test_figures_are_taken_at_the_threshold_that_the_algorithm_states(binary_truth):
    values = {"a": 0.4, "b": 0.2, "c": 0.25, "d": 0.1}
    aggregates = evaluate([likelihood(c, v, 0.25) for c, v in values.items()], binary_truth)["aggregates"]
    assert aggregates["threshold"] == 0.25
    assert aggregates["sensitivity"]["value"] == 0.5
    assert aggregates["specificity"]["value"] == 0.5


def test_each_case_is_decided_at_its_own_threshold(binary_truth):
    stated = {"a": (0.4, 0.3), "b": (0.4, 0.5), "c": (0.4, 0.3), "d": (0.4, 0.5)}
    metrics = evaluate([likelihood(c, *both) for c, both in stated.items()], binary_truth)
    assert [result["decision"] for result in metrics["results"]] == [1, 0, 1, 0]
    assert metrics["aggregates"]["threshold"] is None


def test_predictive_value_of_no_positive_call_is_null(binary_truth):
    aggregates = evaluate([likelihood(c, v) for c, v in zip("abcd", (0.4, 0.3, 0.2, 0.1), strict=True)], binary_truth)
    nothing = {"value": None, "lower": None, "upper": None}
    # All four fall below the threshold, so nobody is called positive.
    assert aggregates["aggregates"]["positive_predictive_value"] == nothing


def test_an_unknown_case_is_refused(binary_truth):
    with pytest.raises(InvalidInputError, match=r"job-of-z is about the case 'z', which reference\.csv does not hold"):
        evaluate([likelihood("z", 0.5)], binary_truth)


def test_a_case_with_two_jobs_is_refused(binary_truth):
    twice = [likelihood("a", 0.5), likelihood("a", 0.6)]
    twice[1].pk = "other"
    with pytest.raises(InvalidInputError, match="The jobs job-of-a and other are about the same case 'a'"):
        evaluate(twice, binary_truth)


def test_a_job_without_a_case_is_refused(binary_truth):
    with pytest.raises(InvalidInputError, match=r"Job x has none of the inputs that name its case \(ct, mr\)"):
        evaluate([FakeJob("x", {}, {})], binary_truth)


@pytest.mark.parametrize("value", ["N4", "n0", 0, None, ["N0"]])
def test_an_unknown_stage_is_scored_as_the_furthest(value, ordinal_truth):
    jobs = [stage("a", value), stage("b", "N1"), stage("c", "N2"), stage("d", "N3")]
    result = results_of(evaluate(jobs, ordinal_truth))["a"]
    assert (result["status"], result["scored_as"]) == ("invalid", "N3")
    assert "expected one of N0, N1, N2, N3" in result["reason"]


@pytest.mark.parametrize(
    ("task", "reference", "message"),
    [
        (BINARY, "case,metastasis\na,1\na,0\n", "two rows for the case a, in lines 2 and 3"),
        (BINARY, "case,metastasis\na,1\nb,yes\n", "says metastasis 'yes' in line 3; expected one of 0, 1"),
        (BINARY, "case,metastasis\na,1\n,0\n", "no case in line 3"),
        (BINARY, "case,death\na,1\nb,0\n", "no 'metastasis' in line 2"),
        (BINARY, "case,metastasis\na,1,x\nb,0\n", "has 3 cells in line 2 and 2 columns"),
        (ORDINAL, "case,stage\na,N0\nb,N9\n", "says stage 'N9' in line 3"),
        (BINARY + "colour = 1\n", "", "the unknown key 'colour' (known are title"),
        (BINARY + "prevalance = 0.1\n", "", "the unknown key 'prevalance' (did you mean 'prevalence'?)"),
        (BINARY + "subgroups = { age = [60, 50] }\n", "", "age has the edges [60.0, 50.0]; expected numbers that rise"),
        (BINARY + "subgroups = { age = [] }\n", "case,metastasis\na,1\n", "has no column 'age', which task.toml names"),
        (
            BINARY.replace('kind = "binary"', 'kind = "ranking"'),
            "",
            "its kind is 'ranking'; expected one of binary, ordinal",
        ),
        (ORDINAL.replace('"N1"', '"N1.5"'), "", "categories"),
        (ORDINAL.replace('"N1"', '"N0"'), "", "names a stage twice"),
        (ORDINAL.replace("simulated", "="), "", "task.toml cannot be used"),
    ],
)
def test_a_ground_truth_that_cannot_be_used_is_refused(task, reference, message, tmp_path):
    with pytest.raises(InvalidInputError) as refused:
        evaluate([], ground_truth(tmp_path / "truth", task, reference))
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["task.toml", "reference.csv"])
def test_a_missing_part_of_the_ground_truth_is_named(name, binary_truth):
    (binary_truth / name).unlink()
    with pytest.raises(InvalidInputError, match=name):
        evaluate([], binary_truth)


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.one_of(st.floats(), st.none(), st.text(max_size=3)), min_size=4, max_size=4))
def test_whatever_is_submitted_ranked_figures_are_finite_and_reached_by_dotted_paths(values, binary_truth):
    metrics = evaluate([likelihood(c, v) for c, v in zip("abcd", values, strict=True)], binary_truth)
    json.dumps(metrics, allow_nan=False)
    aggregates = metrics["aggregates"]
    for name in ("auc", "sensitivity", "specificity", "accuracy"):
        assert 0 <= aggregates[name]["value"] <= 1
    assert 0 <= aggregates["brier_score"] <= 1
    for path, leaf in leaves(aggregates):
        assert not any("." in key for key in path)
        assert not isinstance(leaf, list)


@pytest.mark.parametrize(
    "reference",
    [
        "case;metastasis\na;1.0\nb; 0\n",
        "\ufeffCase\tMetastasis\r\na\t 1\t\r\n\t\t\r\nb\t0.0\t\r\n",
        'case,metastasis\n"a",1\nb,0,\n',
    ],
)
def test_the_reference_is_read_as_spreadsheets_write_it(reference, tmp_path):
    metrics = evaluate([], ground_truth(tmp_path / "truth", BINARY, reference))
    assert [(case["case"], case["reference"]) for case in metrics["results"]] == [("a", 1), ("b", 0)]
