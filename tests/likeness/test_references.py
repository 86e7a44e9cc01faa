"""A patient is compared with those of the training: cases whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError, InvalidModelError
from preop.likeness import REFERENCE_FILE, Measure, Reference, fit_reference, read_references, references_file

NOISE = Measure("noise", "the noise", "HU", ratio=True, resolution=0.01)
DENSITY = Measure("density", "the density", "HU", resolution=0.01)


def patients(number: int = 60, seed: int = 0) -> list[dict[str, float]]:
    """Patients whose density follows their noise: twice the logarithm of it, and a little."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(2, 0.3, number)
    return [
        {"noise": math.exp(log), "density": 2 * log + spread}
        for log, spread in zip(logs.tolist(), rng.normal(0, 0.02, number).tolist(), strict=True)
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return fit_reference(patients(), [NOISE, DENSITY])


def test_further_patients_exceed_the_limit_as_seldom_as_it_states(reference: Reference) -> None:
    assert reference.false_alarm_rate == pytest.approx(3 / 61)
    others = patients(2000, seed=1)
    assert np.mean([not reference.compare(row).is_like for row in others]) == pytest.approx(0.05, abs=0.035)


def test_a_combination_that_no_training_patient_had_is_unlike_them_although_each_value_is_usual(
    reference: Reference,
) -> None:
    odd = reference.compare({"noise": math.exp(1.7), "density": 4.5})
    assert all(abs(score) < 2 for score in odd.scores.values())
    assert not odd.is_like
    assert "training patients: " in odd.limits[0]


def test_the_sentence_names_what_differs_most_and_by_how_much(reference: Reference) -> None:
    largest = max(row["noise"] for row in patients())
    (sentence,) = reference.compare({"noise": 3 * largest, "density": 4.0}, "slide").limits
    assert sentence.startswith("The slide is unlike those of the training patients (distance ")
    assert f"the noise is {3 * largest:.3g} HU, 3 times the largest of any training patient" in sentence


def test_what_is_not_known_counts_as_usual_and_nothing_known_is_said(reference: Reference) -> None:
    usual = {"noise": math.exp(2.0)}
    assert reference.compare(usual).is_like
    assert reference.compare({}).distance == 0
    assert "too little to be compared" in reference.compare({}).limits[0]
    assert reference.compare(usual).to_json()["measures"][1]["value"] is None


def test_a_scan_of_which_hardly_anything_is_known_is_not_called_like_the_others() -> None:
    sizes = [Measure(f"size_{number}", "a size", "mm") for number in range(3)]
    rng = np.random.default_rng(0)
    rows = [{each.name: float(rng.normal(5, 1)) for each in sizes} for _ in range(30)]
    found = fit_reference(rows, sizes).compare({"size_0": 5.0, "size_1": math.nan})
    assert found.distance < found.reference.limit
    assert not found.is_like
    assert not found.to_json()["like_training_patients"]
    assert "too little to be compared" in found.limits[0]


def test_a_difference_below_the_resolution_of_a_measure_makes_nobody_unlike_others() -> None:
    same = [{"slice": 5.0} for _ in range(20)]
    found = fit_reference(same, [Measure("slice", "the slice spacing", "mm", resolution=0.5)])
    assert found.compare({"slice": 5.0}).is_like
    assert found.compare({"slice": 25.0}).distance > 10


def test_a_measure_that_few_patients_have_is_left_out() -> None:
    rows = [row if place < 40 else {"noise": row["noise"]} for place, row in enumerate(patients())]
    assert [known.name for known in fit_reference(rows, [NOISE, DENSITY]).measures] == ["noise"]
    with pytest.raises(InvalidInputError, match="expected 3 or more"):
        fit_reference(rows[:2], [NOISE])


def test_the_file_is_read_as_it_was_written_and_refused_otherwise(reference: Reference, tmp_path: Path) -> None:
    content = references_file({"scan": reference})[REFERENCE_FILE]
    (tmp_path / REFERENCE_FILE).write_bytes(content)
    assert read_references(tmp_path, ["scan"]) == {"scan": reference}
    with pytest.raises(InvalidModelError, match="describes scan; expected slide"):
        read_references(tmp_path, ["slide"])
    (tmp_path / REFERENCE_FILE).write_bytes(content.replace(b'"limit": ', b'"limit": -'))
    with pytest.raises(InvalidModelError, match="limit"):
        read_references(tmp_path, ["scan"])
    (tmp_path / REFERENCE_FILE).unlink()
    with pytest.raises(InvalidModelError, match="is missing"):
        read_references(tmp_path, ["scan"])
