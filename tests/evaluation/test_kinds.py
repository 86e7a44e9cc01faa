"""What only some tasks have: other kinds of predictions, groups, several cases a patient, readers, declined cases."""

import json

import pytest

from evaluation.evaluate import evaluate, main
from preop.errors import InvalidInputError
from preop.grandchallenge.values import to_json
from preop.report.evaluation import charts_of, evaluation_page
from tests.evaluation.test_evaluate import BINARY, CASES, ORDINAL, FakeJob, ground_truth, likelihood, stage
from tests.report.reading import Page

HEAD = """
title = "A task"
study = "a_study"
case_sockets = ["ct"]
prediction_socket = "output"
simulated = true
source = "Made for this test."
resamples = 200
"""


def gives(case, value):
    return FakeJob(f"job-of-{case}", {"ct": case}, {"output": value})


@pytest.fixture
def judge(tmp_path):
    """Evaluates jobs, and draws the page and charts of what is found: that these are there is part of every test."""

    def evaluated(task, reference, jobs, **tables):
        truth = ground_truth(tmp_path / "truth", task, reference)
        for name, content in tables.items():
            (truth / f"{name}.csv").write_text(content, encoding="utf-8")
        metrics = json.loads(to_json(evaluate(jobs, truth)))
        evaluation_page(metrics, tmp_path / "page.html")
        page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
        assert page.stands_alone()
        assert page.leads_somewhere()
        return metrics, page

    return evaluated


@pytest.mark.parametrize(("truth", "name"), [("1", "positive"), ("0", "negative")])
def test_a_phase_with_one_case_runs_and_says_what_cannot_be_computed(truth, name, judge):
    metrics, page = judge(BINARY, f"case,metastasis\na,{truth}\n", [likelihood("a", 0.7)])
    assert metrics["aggregates"]["auc"] == {"value": None, "lower": None, "upper": None}
    assert metrics["aggregates"]["accuracy"]["value"] == int(truth)
    assert f"All cases are {name}, so nothing can be told apart." in page.text
    assert set(charts_of(metrics)) == {"scores"}


def test_a_phase_with_one_stage_runs(judge):
    metrics, page = judge(ORDINAL, "case,stage\na,N1\nb,N1\n", [stage("a", "N1"), stage("b", "N1")])
    assert metrics["aggregates"]["accuracy"]["value"] == 1
    assert metrics["aggregates"]["quadratic_weighted_kappa"]["value"] is None
    assert "no disagreement was possible by chance" in page.text


def test_declined_cases_stand_beside_all(judge):
    jobs = [stage("a", "N0"), stage("b", "NX"), stage("c", "N2"), stage("d", "N3")]
    for job, said in zip(jobs, ("yes", "no", "limited", "perhaps"), strict=True):
        job.values["explanation"] = {"assessable": said}
    task = ORDINAL + 'assessable_socket = "explanation"\n'
    metrics, page = judge(task, "case,stage\na,N0\nb,N1\nc,N2\nd,N3\n", jobs)
    aggregates = metrics["aggregates"]
    assert aggregates["assessable"] == {"yes": 1, "limited": 1, "no": 1, "not_stated": 1}
    assert aggregates["accuracy"]["value"] == 3 / 4
    assert aggregates["without_declined"]["cases"] == 3
    assert aggregates["without_declined"]["accuracy"]["value"] == 1
    assert metrics["results"][1]["assessable"] == "no"
    assert "1 declined as not assessable" in page.text
    assert "Without the declined (n = 3)" in page.text


def test_a_clinical_stage_stands_beside_where_it_is_known(judge):
    task = ORDINAL + 'comparators = [{ name = "clinical stage", column = "cn" }]\n'
    jobs = [stage("a", "N0"), stage("b", "N1"), stage("c", "N2"), stage("d", "N3")]
    metrics, page = judge(task, "case,stage,cn\na,N0,N1\nb,N1,N1\nc,N2,N1\nd,N3,\n", jobs)
    found = metrics["aggregates"]["comparisons"]["clinical stage"]
    assert (found["cases"], found["accuracy"]["only_this"], found["accuracy"]["only_other"]) == (3, 2, 0)
    assert found["accuracy"]["p_value"] == 0.5
    assert "Beside clinical stage (3 cases)" in page.text
    with pytest.raises(InvalidInputError, match="says cn 'N9'; expected one of N0"):
        judge(task, "case,stage,cn\na,N0,N9\n", jobs[:1])


def test_a_reader_and_another_algorithm_stand_beside(judge):
    readers = '{ name = "reader", column = "reader" }, { name = "other", column = "other", threshold = 0.5 }'
    task = BINARY + f"comparators = [{readers}]\n"
    reference = "case,metastasis,reader,other\na,1,1,0.9\nb,1,0,0.2\nc,0,0,0.6\nd,0,1,0.1\n"
    jobs = [likelihood(case, value) for case, value in zip("abcd", (0.9, 0.8, 0.2, 0.1), strict=True)]
    metrics, _ = judge(task, reference, jobs)
    found = metrics["aggregates"]["comparisons"]
    assert found["reader"]["accuracy"]["other"]["value"] == 0.5
    assert found["other"]["auc"]["difference"]["value"] == pytest.approx(1 - 3 / 4)
    assert found["other"]["sensitivity"]["only_this"] == 1


def test_groups_and_patients_are_those_of_the_reference(judge):
    task = BINARY + 'patient_column = "patient"\nsubgroups = { centre = [], age = [60] }\n'
    reference = "case,metastasis,patient,centre,age\na,1,p,St. Jan,59\nb,0,p,St. Jan,60\nc,1,q,B,70\nd,0,r,B,\n"
    jobs = [likelihood(case, value) for case, value in zip("abcd", (0.9, 0.2, 0.4, 0.3), strict=True)]
    metrics, page = judge(task, reference, jobs)
    aggregates = metrics["aggregates"]
    assert aggregates["patients"] == 3
    assert {name: group["cases"] for name, group in aggregates["subgroups"]["centre"].items()} == {"B": 2, "St_ Jan": 2}
    assert set(aggregates["subgroups"]["age"]) == {"below 60", "60 or more", "not stated"}
    assert "such a group says little" in page.text


def test_counts_are_taken_as_numbers_lists_and_objects_and_the_worst_is_the_furthest(judge):
    task = HEAD + 'kind = "count"\nreference_column = "positive"\nlargest = 3\n'
    jobs = [gives("a", 1.5), gives("b", [0, 0, 1]), gives("c", {"0": 0.5, "2 or more": 0.5}), gives("d", {"many": 1})]
    metrics, _ = judge(task, "case,positive\na,1\nb,2\nc,0\nd,1\ne,7\n", jobs)
    results = {result["case"]: result for result in metrics["results"]}
    assert {case: result["scored_as"] for case, result in results.items()} == {"a": 1.5, "b": 2, "c": 1, "d": 3, "e": 0}
    assert "a probability of 'many'" in results["d"]["reason"]
    assert metrics["aggregates"]["absolute_error"]["value"] == pytest.approx((0.5 + 0 + 1 + 2 + 7) / 5)


def test_shares_may_be_per_cent_in_the_reference_and_the_worst_is_all_of_the_smallest_part(judge):
    task = HEAD + 'kind = "shares"\nparts = ["desmoplastic", "replacement"]\nprediction_key = "all/shares"\n'
    jobs = [gives("a", {"all": {"shares": {"desmoplastic": 0.75, "replacement": 0.25}}}), gives("b", {"all": {}})]
    metrics, _ = judge(task, "case,desmoplastic,replacement\na,50,50\nb,0.9,0.1\n", jobs)
    assert [result["scored_as"]["replacement"] for result in metrics["results"]] == [0.25, 1]
    assert metrics["aggregates"]["absolute_error"]["value"] == pytest.approx((0.25 + 0.9) / 2)
    assert metrics["results"][1]["reason"] == "all of output does not state 'shares'."
    with pytest.raises(InvalidInputError, match=r"in line 2, which add up to 0\.6"):
        judge(task, "case,desmoplastic,replacement\na,0.5,0.1\n", [])


def test_risks_are_judged_by_time_and_the_worst_is_the_wrong_end(judge):
    task = HEAD + 'kind = "survival"\ntime_column = "months"\nevent_column = "died"\nhorizon = 12\n'
    jobs = [gives("a", 0.9), gives("b", 0.5), gives("c", 0.1)]
    metrics, _ = judge(task, "case,months,died\na,3,1\nb,9,1\nc,20,0\nd,30,0\n", jobs)
    assert metrics["results"][3]["scored_as"] == 1
    # Of five pairs that can be compared, the two with the missing case are in the wrong order.
    assert metrics["aggregates"]["concordance"]["value"] == pytest.approx(3 / 5)
    assert metrics["aggregates"]["calibration"]["observed_share"]["value"] == pytest.approx(0.5)


def test_points_are_held_against_lesions_and_their_places(judge):
    task = HEAD + 'kind = "detection"\nhit_distance_mm = 5\nplace_column = "station"\nfalse_marks = [0.5]\n'
    lesions = "lesion,case,x,y,z,station\n1,a,0,0,0,4R\n2,a,50,0,0,7\n3,b,0,0,0,4R\n"
    points = [
        {"point": [1, 0, 0], "probability": 0.9},
        {"point": [90, 0, 0], "probability": 0.8},
        {"point": [51, 0, 0]},
    ]
    metrics, page = judge(
        task, "case\na\nb\nc\n", [gives("a", {"points": points}), gives("c", {"points": []})], lesions=lesions
    )
    aggregates = metrics["aggregates"]
    assert (aggregates["lesions"], aggregates["sensitivity"]["value"]) == (3, pytest.approx(2 / 3))
    assert aggregates["average_precision"]["value"] == pytest.approx(2 / 3)
    assert aggregates["false_marks_a_case"]["value"] == pytest.approx(1 / 3)
    assert {name: place["sensitivity"]["value"] for name, place in aggregates["places"].items()} == {"4R": 0.5, "7": 1}
    assert "2 of 2 found" in page.text
    with pytest.raises(InvalidInputError, match="names the case 'z' in line 2"):
        judge(task, "case\na\n", [], lesions="lesion,case,x,y,z,station\n1,z,0,0,0,7\n")


def test_named_instances_are_judged_by_patient_and_by_name(judge):
    keys = 'reference_column = "positive"\nname_key = "station"\nprobability_key = "p"\n'
    task = HEAD + 'kind = "instances"\n' + keys
    instances = "instance,case,name,positive\n1,a,7,1\n2,a,4R,0\n3,b,7,0\n4,b,4R,1\n"
    metrics, _ = judge(task, "case\na\nb\n", [gives("a", [{"station": "7", "p": 0.8}])], instances=instances)
    aggregates = metrics["aggregates"]
    # The missing case has both of its stations wrong; a station that is not listed has 0.
    assert aggregates["counts"] == {
        "true_positives": 1,
        "false_positives": 1,
        "true_negatives": 1,
        "false_negatives": 1,
    }
    assert aggregates["subgroups"]["instance"]["7"]["cases"] == 2


def test_a_reader_stands_beside_counts_shares_and_risks(judge):
    reader = 'comparators = [{ name = "reader", column = "reader" }]\n'
    task = HEAD + 'kind = "count"\nreference_column = "positive"\nlargest = 5\n' + reader
    jobs = [gives("a", 1), gives("b", [0, 0, 1]), gives("c", 4)]
    metrics, page = judge(task, "case,positive,reader\na,1,2\nb,2,0\nc,3,\n", jobs)
    found = metrics["aggregates"]["comparisons"]["reader"]
    assert (found["cases"], found["absolute_error"]["difference"]["value"]) == (2, pytest.approx(-1.5))
    # Both differences have the same sign: of four ways to turn them round, two are as far from 0.
    assert found["absolute_error"]["p_value"] == pytest.approx(0.5)
    assert (found["exact"]["only_this"], found["exact"]["only_other"]) == (2, 0)
    assert "Beside reader (2 cases)" in page.text

    task = HEAD + 'kind = "shares"\nparts = ["d", "r"]\n' + reader
    jobs = [gives("a", {"d": 0.5, "r": 0.5}), gives("b", {"d": 1, "r": 0})]
    metrics, _ = judge(task, "case,d,r,reader_d,reader_r\na,50,50,80,20\nb,0.9,0.1,,\n", jobs)
    found = metrics["aggregates"]["comparisons"]["reader"]
    assert (found["cases"], found["absolute_error"]["other"]["value"]) == (1, pytest.approx(0.3))
    assert found["squared_error"]["difference"]["value"] == pytest.approx(-0.18)
    with pytest.raises(InvalidInputError, match="by reader, the shares 80, 10 of the case 'a', which add up to 90"):
        judge(task, "case,d,r,reader_d,reader_r\na,50,50,80,10\n", jobs[:1])

    task = HEAD + 'kind = "survival"\ntime_column = "months"\nevent_column = "died"\n' + reader
    jobs = [gives("a", 3), gives("b", 2), gives("c", 1), gives("d", 0)]
    metrics, _ = judge(task, "case,months,died,reader\na,1,1,0\nb,2,1,1\nc,3,1,2\nd,4,0,\n", jobs)
    found = metrics["aggregates"]["comparisons"]["reader"]["concordance"]
    assert [found[side]["value"] for side in ("this", "other", "difference")] == [1, 0, 1]


def test_a_reader_stands_beside_points_and_instances(judge):
    reader = 'comparators = [{ name = "reader", mark_file = "reader.csv" }]\n'
    task = HEAD + 'kind = "detection"\nhit_distance_mm = 5\nfalse_marks = [1]\n' + reader
    lesions = "lesion,case,x,y,z\n1,a,0,0,0\n2,b,50,0,0\n"
    marks = "mark,case,x,y,z,probability\n1,a,1,0,0,0.9\n2,a,90,0,0,\n"
    jobs = [
        gives(case, {"points": [{"point": point, "probability": 0.8}]})
        for case, point in (("a", [1, 0, 0]), ("b", [50, 1, 0]))
    ]
    metrics, page = judge(task, "case\na\nb\n", jobs, lesions=lesions, reader=marks)
    found = metrics["aggregates"]["comparisons"]["reader"]
    assert [found["sensitivity"][side]["value"] for side in ("this", "other", "difference")] == [1, 0.5, 0.5]
    assert found["false_marks_a_case"]["difference"]["value"] == -0.5
    # The reader's surest mark is the false one: of two lesions, one is found at a precision of a half.
    assert found["average_precision"]["other"]["value"] == pytest.approx(0.25)
    assert "Beside reader (2 cases)" in page.text
    with pytest.raises(InvalidInputError, match=r"reader\.csv has the probability 7 in line 2"):
        judge(task, "case\na\nb\n", jobs, lesions=lesions, reader="mark,case,x,y,z,probability\n1,a,1,0,0,7\n")
    with pytest.raises(InvalidInputError, match=r"unknown key 'column' \(known are name, mark_file\)"):
        judge(task.replace("mark_file", "column"), "case\na\n", [])

    keys = 'reference_column = "positive"\nname_key = "station"\nprobability_key = "p"\n'
    reader = 'comparators = [{ name = "reader", column = "reader" }]\n'
    task = HEAD + 'kind = "instances"\n' + keys + reader
    instances = "instance,case,name,positive,reader\n1,a,7,1,0\n2,a,4R,0,0\n3,b,7,1,1\n4,b,4R,1,\n"
    jobs = [gives("a", [{"station": "7", "p": 0.8}]), gives("b", [{"station": "7", "p": 0.9}])]
    metrics, _ = judge(task, "case\na\nb\n", jobs, instances=instances)
    found = metrics["aggregates"]["comparisons"]["reader"]
    assert (found["cases"], found["accuracy"]["only_this"], found["accuracy"]["only_other"]) == (3, 1, 0)


def test_charts_are_written_where_the_sockets_of_the_phase_want_them(tmp_path, monkeypatch):
    bundled = CASES / "binary"
    asked = 'charts = { roc = "roc-curve.json", calibration = "calibration-curve.json" }\n'
    task = (bundled / "ground_truth" / "task.toml").read_text(encoding="utf-8") + asked
    truth = ground_truth(
        tmp_path / "truth", task, (bundled / "ground_truth" / "reference.csv").read_text(encoding="utf-8")
    )
    (tmp_path / "output").mkdir()
    for name, folder in {"INPUT": bundled / "input", "GROUND_TRUTH": truth, "OUTPUT": tmp_path / "output"}.items():
        monkeypatch.setenv(f"PREOP_{name}", str(folder))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    written = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "output").iterdir()}
    assert set(written) == {"metrics.json", "roc-curve.json", "calibration-curve.json"}
    for name in ("roc-curve.json", "calibration-curve.json"):
        assert "vega-lite/v5" in written[name]["$schema"]
    # Nine cases are too few for a calibration curve: the output is there, and says so.
    assert written["calibration-curve.json"]["title"]["subtitle"] == "the cases do not determine it"
    with pytest.raises(InvalidInputError, match=r"there is no chart 'rok' \(did you mean 'roc'"):
        evaluate([], ground_truth(truth, task.replace("roc =", "rok ="), "case,lung_metastasis\na,1\n"))


def test_a_converted_slide_that_lost_its_name_is_told(tmp_path):
    truth = ground_truth(tmp_path / "truth", BINARY, "case,metastasis\na,1\n")
    with pytest.raises(InvalidInputError, match="gives such a name to a slide that it converts"):
        evaluate([likelihood("0f8fad5b-d9cb-469f-a165-70867728950e", 0.5)], truth)
