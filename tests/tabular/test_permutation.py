"""What a model adds, exchanged among patients: what moves, what stays, when it stops, and how often it is wrong."""

from collections.abc import Iterator
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest

from preop.errors import InvalidInputError
from preop.tabular import FeatureTable, PermutationTest, PipelineSettings, RepeatedSplits, permutation
from preop.tabular.permutation import permuted

OUTCOME = [0, 1] * 6


def table_of(**more: object) -> FeatureTable:
    """Twelve rows whose two columns of imaging say which row they were measured of, and one of the record."""
    rows = np.arange(12.0)
    frame = pd.DataFrame({"ct": rows, "pet": 100 + rows, "age": 200 + rows})
    return FeatureTable.of(frame, OUTCOME, **more)


def sources(table: FeatureTable) -> list[int]:
    """From which row each row has its imaging."""
    return table.values[:, 0].astype(int).tolist()


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """A model that learns nothing and ranks by the first column; gives the sizes of each time it was asked."""
    asked = []

    def rank(table: FeatureTable, _: object, train: np.ndarray, test: np.ndarray) -> SimpleNamespace:
        asked.append((train.size, test.size))
        return SimpleNamespace(probabilities=table.values[test, 0])

    monkeypatch.setattr(permutation, "fit_and_predict", rank)
    with joblib.parallel_config(backend="sequential"):
        yield asked


def test_columns_move_together_and_with_what_was_measured_again() -> None:
    again = pd.DataFrame({"ct": 1000 + np.arange(12.0), "age": 1200 + np.arange(12.0)})
    table = table_of(perturbed=[again])
    moved = permuted(table, ["ct", "pet"], np.random.default_rng(0))
    order = sources(moved)
    assert sorted(order) == list(range(12))
    assert order != list(range(12))
    assert moved.values[:, 1].tolist() == [100 + row for row in order]
    assert moved.values[:, 2].tolist() == table.values[:, 2].tolist()
    assert moved.outcome.tolist() == table.outcome.tolist()
    assert moved.perturbed is not None
    assert moved.perturbed[0, :, 0].tolist() == [1000 + row for row in order]
    assert moved.perturbed[0, :, 2].tolist() == again["age"].tolist()
    assert sources(table) == list(range(12))


def test_rows_of_a_patient_stay_together_and_exchange_with_patients_of_as_many_rows() -> None:
    names = ["a", "b", "a", "c", "d", "e", "c", "f", "g", "g", "g", "h"]
    rows = {name: [row for row, other in enumerate(names) if other == name] for name in names}
    seen = set()
    for seed in range(20):
        order = sources(permuted(table_of(patients=names), ["ct", "pet"], np.random.default_rng(seed)))
        assert [order[row] for row in rows["g"]] == rows["g"]  # nobody else has three
        assert [order[row] for row in rows["a"]] in (rows["a"], rows["c"])
        seen.add(tuple(order[row] for row in rows["a"]))
    assert len(seen) == 2


def test_harmonised_columns_stay_within_their_centre() -> None:
    centres = ["A", "B", "C"] * 4
    table = table_of(centres=centres, harmonised=["pet"])
    for seed in range(5):
        order = sources(permuted(table, ["ct", "pet"], np.random.default_rng(seed)))
        assert [centres[row] for row in order] == centres
    free = [sources(permuted(table, ["ct"], np.random.default_rng(seed))) for seed in range(5)]
    assert any([centres[row] for row in order] != centres for order in free)


def test_it_stops_as_soon_as_the_claim_cannot_be_shown_any_more(ranked: list[tuple[int, int]]) -> None:
    splits = RepeatedSplits(3, 0.5)
    lost = PermutationTest(199, splits=2)(table_of(), ["ct"], 0.0, PipelineSettings(), splits)
    assert len(lost["aucs"]) == 5  # with five as good of 199, p is 2 * 6 / 200
    assert ranked == [(6, 6)] * 10  # two splits each
    held = PermutationTest(39)(table_of(), ["ct"], 1.1, PipelineSettings(), splits)
    assert len(held["aucs"]) == 39
    assert (held["splits"], held["most"], held["within_centres"]) == (3, 39, False)


def test_a_stopped_test_goes_on_where_it_was(ranked: list[tuple[int, int]], tmp_path) -> None:
    test, splits = PermutationTest(39, splits=1), RepeatedSplits(1, 0.5)
    whole = test(table_of(), ["ct"], 1.1, PipelineSettings(), splits, folder=tmp_path)
    (record,) = tmp_path.iterdir()
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:30]) + lines[30][:9])  # killed while it wrote the 31st
    ranked.clear()
    counted: list[int] = []
    again = test(
        table_of(), ["ct"], 1.1, PipelineSettings(), splits, folder=tmp_path, advance=lambda: counted.append(1)
    )
    assert again == whole
    assert (len(ranked), len(counted)) == (9, 39)
    PermutationTest(39, splits=1, seed=1)(table_of(), ["ct"], 1.1, PipelineSettings(), splits, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # another seed is another run


def test_a_permutation_that_cannot_be_learned_from_counts_against_the_claim(
    ranked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InvalidInputError("None of 1 features can be used.")

    monkeypatch.setattr(permutation, "fit_and_predict", refuse)
    found = PermutationTest(39)(table_of(), ["ct"], 0.9, PipelineSettings(), RepeatedSplits(2, 0.5))
    assert found["aucs"] == [None]


def test_noise_is_shown_to_be_better_in_at_most_one_of_forty(ranked: list[tuple[int, int]]) -> None:
    test, splits, random = PermutationTest(39, splits=2), RepeatedSplits(2, 0.5), np.random.default_rng(0)
    pairs = list(splits(np.array(OUTCOME, dtype=bool)))
    shown = 0
    for _ in range(80):
        table = FeatureTable.of(pd.DataFrame({"ct": random.normal(size=12)}), OUTCOME)
        reached = np.mean([permutation.auc(table.outcome[part], table.values[part, 0]) for _, part in pairs])
        shown += len(test(table, ["ct"], float(reached), PipelineSettings(), splits)["aucs"]) == 39
    assert shown <= 6  # 2 are expected; 7 and more have a probability of 0.005


@pytest.mark.parametrize("settings", [{"most": 38}, {"splits": 0}])
def test_a_test_that_can_show_nothing_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="can show nothing; expected at least 39 permutations"):
        PermutationTest(**settings)
