"""The record of a validation: what is the same when it is run again, and what is not, by hand-made records."""

from pathlib import Path

import pytest

from preop.cohort.record import (
    CohortRecord,
    ModelRecord,
    ProgramRecord,
    ValidationRecord,
    figures_of,
    read_record,
    refuse_others,
    verify,
    write_record,
)
from preop.errors import InvalidInputError

PROGRAM = ProgramRecord(
    name="toy",
    version="1.0.0",
    engine="process",
    image_sha256=None,
    sources_sha256="a" * 64,
    commit="c" * 40,
    versions={"python": "3.11.7", "numpy": "2.4.6"},
)
MODEL = ModelRecord(
    files={"model.json": "b" * 64, "weights.json": "c" * 64},
    created="2026-01-01",
    training_cohort_sha256="0" * 64,
    simulated=True,
)
COHORT = CohortRecord(
    patients=3, failed=0, training_patients=0, simulated=True, table_sha256="d" * 64, content_sha256="e" * 64
)
FIGURES = {"auc.value": 0.75, "auc.lower": None, "counts.true_positives": 2, "perfect": True}


def record(**changed: object) -> ValidationRecord:
    return ValidationRecord(
        **{
            "format": 1,
            "created": "2026-01-02",
            "algorithm": PROGRAM,
            "evaluation": PROGRAM,
            "model": MODEL,
            "cohort": COHORT,
            "settings": {"trust_model": False},
            "seeds": {"training": 0},
            "predictions_sha256": "f" * 64,
            "figures": FIGURES,
            **changed,
        }
    )


def test_the_same_record_gives_the_same_bytes_and_is_read_as_it_was(tmp_path: Path) -> None:
    write_record(record(), tmp_path / "one.json")
    write_record(record(figures=dict(reversed(FIGURES.items()))), tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert read_record(tmp_path / "one.json") == record()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "format: Field required"),
        ("[1]", "is no record of a validation"),
        ('{"format": 2}', "format: Input should be 1"),
        ("{", "is not valid JSON"),
    ],
)
def test_what_is_no_record_is_told_in_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(InvalidInputError, match=said):
        read_record(tmp_path / "record.json")
    with pytest.raises(InvalidInputError, match="There is no record"):
        read_record(tmp_path / "none.json")


def test_every_figure_has_its_place() -> None:
    aggregates = {"auc": {"value": 0.5, "lower": None}, "cases": {"all": 2}, "rows": [1, {"n0": 2}], "word": "N2"}
    assert figures_of(aggregates) == {
        "auc.lower": None,
        "auc.value": 0.5,
        "cases.all": 2,
        "rows.0": 1,
        "rows.1.n0": 2,
        "word": "N2",
    }


def test_figures_are_the_same_differ_are_missing_or_new() -> None:
    again = {"auc.value": 0.75 * (1 + 1e-9), "auc.lower": 0.1, "perfect": 1, "brier": 0.2}
    done = verify(record(), record(figures=again, predictions_sha256="1" * 64))
    assert {figure.name: figure.verdict for figure in done.figures} == {
        "auc.value": "the same but for rounding",
        "auc.lower": "differs",
        "counts.true_positives": "is missing",
        "perfect": "differs",
        "brier": "is new",
    }
    assert [figure.name for figure in done.different] == ["auc.lower", "brier", "counts.true_positives", "perfect"]
    assert not done.same_predictions
    assert verify(record(), record()).different == []


def test_a_figure_that_differs_in_its_sixth_digit_is_not_rounding() -> None:
    done = verify(record(), record(figures={**FIGURES, "auc.value": 0.750002}))
    assert [figure.name for figure in done.different] == ["auc.value"]


def test_it_is_told_what_differs_beside_the_figures() -> None:
    versions = {"python": "3.12.0", "numpy": "2.4.6"}
    image = PROGRAM.model_copy(update={"engine": "podman", "image_sha256": "1" * 64, "versions": versions})
    other = image.model_copy(update={"image_sha256": "2" * 64, "sources_sha256": "3" * 64, "commit": "4" * 40})
    assert verify(record(), record()).differences == []
    assert verify(record(), record(algorithm=image)).differences == [
        "The algorithm ran in podman; in the record it ran in process.",
        "Versions below the algorithm differ: python 3.12.0 instead of 3.11.7.",
    ]
    assert verify(record(evaluation=image), record(evaluation=other)).differences == [
        "The image of the evaluation is 222222222222; in the record it is 111111111111.",
        f"The sources of the evaluation are not those of the record (the record was made at commit {'c' * 40}).",
    ]
    fewer = COHORT.model_copy(update={"patients": 2, "content_sha256": "0" * 64})
    assert verify(record(), record(cohort=fewer)).differences == [
        "The patients are others, or their images or values have changed: 3 in the record, 2 now."
    ]


def test_another_model_or_image_is_refused_before_it_is_run() -> None:
    refuse_others(record(), MODEL, None)
    other = MODEL.model_copy(update={"files": {**MODEL.files, "weights.json": "0" * 64}})
    with pytest.raises(InvalidInputError, match=r"The model is not that of the record: weights\.json differs"):
        refuse_others(record(), other, None)
    imported = record(algorithm=PROGRAM.model_copy(update={"image_sha256": "1" * 64}))
    refuse_others(imported, MODEL, "1" * 64)
    with pytest.raises(InvalidInputError, match="its digest is 222222222222 and not 111111111111"):
        refuse_others(imported, MODEL, "2" * 64)
