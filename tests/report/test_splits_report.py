"""The report on models on a feature table, on a small study."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from preop.evidence import SplitsEvidence
from preop.report.checklists import CLEAR, TRIPOD_AI
from preop.report.training import training_report
from preop.tabular import (
    FeatureTable,
    FollowUp,
    PermutationTest,
    PipelineSettings,
    Question,
    RepeatedSplits,
    train_and_validate,
)
from tests.report.reading import Page

# The study is made once: all tests of this file on one worker.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evidence():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(48, 3)), columns=["texture", "volume", "age"])
    outcome = random.random(48) < 1 / (1 + np.exp(-2 * frame["texture"]))
    question = Question(
        "<b>metastasis</b>",
        groups={"CT": ["texture", "volume"], "volume": ["volume"], "clinical": ["age"]},
        models={"CT": ["CT"], "volume": ["volume"], "clinical": ["clinical"]},
        baselines=["volume", "clinical"],
        volumes=["volume"],
    )
    study = train_and_validate(
        FeatureTable.of(frame, outcome, centres=["A", "B"] * 24),
        question,
        settings=PipelineSettings(max_features=(2,)),
        splits=RepeatedSplits(4),
        permutations=PermutationTest(39, splits=1),
        follow_up=FollowUp.of(random.exponential(500, 48) + 1, outcome),
    )
    return SplitsEvidence.read(json.loads(study.evidence.model_dump_json()))


@pytest.fixture(scope="module")
def page(evidence, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    training_report(evidence, path, title="Sarcoma", source="made up", simulated=True)
    return Page(path.read_text(encoding="utf-8"))


def test_page_stands_alone_and_is_the_same_every_time(evidence, page, tmp_path):
    training_report(evidence, tmp_path / "page.html", title="Sarcoma", source="made up", simulated=True)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert Page(text).text == page.text
    assert page.stands_alone()
    assert page.leads_somewhere()
    assert "b" not in page.tags


def test_page_says_what_was_asked(evidence, page):
    assert "48 patients" in page.text
    assert "with <b>metastasis</b>" in page.text
    assert "better than volume or clinical alone" in page.text
    assert "Performance on simulated patients is not clinical performance" in page.text
    for warning in evidence.warnings:
        assert warning in page.text
    # forest; ROC, calibration, decision curve and features of one model; Kaplan-Meier of one model
    assert page.tags.count("svg") == 6


def test_checklists_are_whole_and_say_what_is_left_open(page):
    assert [item.name for item in CLEAR] == [str(number) for number in range(1, 59)]
    assert len(TRIPOD_AI) == 52
    assert {item.name.rstrip("abcdefg") for item in TRIPOD_AI} == {str(number) for number in range(1, 28)}
    rows = {row[1]: row[2] for row in page.rows if len(row) == 3}
    assert rows["Ethical approval and consent"] == "not answered here"
    assert rows["Reliability of the segmentation"] == "not answered here"  # nothing was measured again
    assert re.search(r"Performance with intervals\s*All models, Each model", page.text)
