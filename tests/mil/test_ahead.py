from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from preop.cohort import map_patients
from preop.errors import InvalidInputError
from preop.mil import Bag, BagNetwork, Member, Settings, cross_validate, fit, make_head, train_ahead
from preop.mil import ahead as module

pytestmark = pytest.mark.slow

SETTINGS = Settings(epochs=3, folds=2, instances_per_batch=40, learning_rate=0.01)


def network(head: str = "count") -> BagNetwork:
    return BagNetwork(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.2)), make_head(head, 6))


def bags(count: int = 16) -> list[Bag]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(count):
        positive = number % 2
        instances = torch.randn(5 + number % 3, 4, generator=generator)
        instances[:positive] += 2
        made.append(Bag(f"patient {number}", (instances,), positive, positive))
    return made


class Recorded:
    """Does here what processes would do, and keeps how often it was asked."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def __call__(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        description: None,  # noqa: ARG002
    ) -> Iterator[tuple[Any, Any]]:
        for item in items:
            self.members.append(item)
            yield item, function(item)


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_PROCESSES_S", 0.0)


@pytest.mark.usefixtures("worth_it")
def test_processes_train_the_same_bytes_as_one_network_after_another(tmp_path: Path) -> None:
    alone = fit(network, bags(), SETTINGS, folder=tmp_path / "alone")
    together = fit(network, bags(), SETTINGS, folder=tmp_path / "together", each=map_patients)
    assert together.to_files() == alone.to_files()


@pytest.mark.usefixtures("worth_it")
def test_a_validation_says_the_same_of_every_bag_and_trains_all_but_one_network_in_processes(tmp_path: Path) -> None:
    each = Recorded()
    alone = cross_validate(network, bags(), SETTINGS, folds=3)
    together = cross_validate(network, bags(), SETTINGS, folds=3, folder=tmp_path / "run", each=each)
    assert [row.prediction.probability for row in together] == [row.prediction.probability for row in alone]
    assert [row.fold for row in together] == [row.fold for row in alone]
    assert len(each.members) == 3 * SETTINGS.folds - 1
    assert not any(set(member.learning) & set(member.held_out) for member in each.members)


@pytest.mark.usefixtures("worth_it")
def test_progress_ends_where_all_epochs_are_done(tmp_path: Path) -> None:
    epochs: list[int] = []
    members = [Member(tuple(range(8)), tuple(range(8, 12)), seed, tmp_path / f"{seed}.pt") for seed in range(3)]
    assert train_ahead(network, bags(), SETTINGS, members, each=Recorded(), advance=epochs.append)
    assert sum(epochs) == 3 * SETTINGS.epochs
    assert all(member.checkpoint and member.checkpoint.is_file() for member in members)


def test_short_work_is_left_to_this_process(tmp_path: Path) -> None:
    each = Recorded()
    fit(network, bags(), SETTINGS, folder=tmp_path / "run", each=each)
    assert each.members == []


@pytest.mark.usefixtures("worth_it")
@pytest.mark.parametrize("reason", ["no folder", "large bags", "begun before"])
def test_networks_follow_one_another_where_processes_would_not_do(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = Recorded()
    folder = None if reason == "no folder" else tmp_path / "run"
    if reason == "large bags":
        monkeypatch.setattr(module, "LARGEST_COPY_BYTES", 100)
    if reason == "begun before":
        fit(network, bags(), SETTINGS, folder=folder)
    fit(network, bags(), SETTINGS, folder=folder, each=each)
    assert each.members == []


@pytest.mark.usefixtures("worth_it")
def test_what_fails_in_a_process_is_raised_here(tmp_path: Path) -> None:
    def failing(function: Any, items: Sequence[Any], *, description: None) -> Iterator[tuple[Any, Any]]:
        yield items[0], InvalidInputError("The loss is not finite.")

    with pytest.raises(InvalidInputError, match="loss is not finite"):
        fit(partial(network), bags(), SETTINGS, folder=tmp_path / "run", each=failing)
