"""Every bad input of the table, for every algorithm that it fits, through the entry point of its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.studies import ALL, Study, laid_out, run_here, unspoilt
from tests.contract.table import ROWS, Doubted, Refused, Row


def marked(row: Row, study: Study) -> object:
    marks = [pytest.mark.slow] if study in row.slow else []
    return pytest.param(row, study, id=f"{study.name}: {row.name}", marks=marks)


@pytest.mark.parametrize(("row", "study"), [marked(row, study) for row in ROWS for study in row.studies])
def test_a_bad_input_ends_as_the_table_says(row: Row, study: Study, tmp_path: Path) -> None:
    case = laid_out(study, tmp_path)
    row.spoil(case)
    ended = run_here(case, tmp_path / "output")
    if isinstance(row.expected, Refused):
        assert ended.code == 1, "an answer was given"
        assert "Unexpected internal error" not in ended.sentence
        assert "not enough memory" not in ended.sentence
        for word in row.expected.words:
            assert word in ended.sentence
        assert ended.sentence.endswith((".", "?", '"'))
        assert not ended.left
        return
    assert ended.code == 0, ended.sentence
    if isinstance(row.expected, Doubted):
        explained = ended.explained(study)
        assert explained["assessable"] == row.expected.assessable, explained["assessable_reasons"]
        reasons = " ".join(explained["assessable_reasons"])
        for word in row.expected.words:
            assert word in reasons
        return
    assert ended.explained(study) == unspoilt(study)


@pytest.mark.parametrize("study", ALL, ids=lambda study: study.name)
def test_the_table_holds_at_least_60_rows_for_an_algorithm(study: Study) -> None:
    assert sum(study in row.studies for row in ROWS) >= 60
