import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from preop.errors import InvalidInputError, InvalidModelError, InvalidOutputError
from preop.mil import (
    HEADS,
    Bag,
    BagNetwork,
    Ensemble,
    Settings,
    cross_validate,
    fit,
    make_head,
    mean_deviance,
    read_ensemble,
    stratified_folds,
    train,
)
from preop.mil.ensembles import fit_temperature
from preop.statistics import auc
from tests.conftest import threads_of_torch

pytestmark = pytest.mark.slow

FEATURES = 6
QUICK = Settings(epochs=4, folds=2, patience=3, instances_per_batch=60, learning_rate=0.01)


class Encoder(nn.Module):
    """An encoder with dropout, so that its randomness is noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.3))

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.layers(features)
        return found


def network(head: str = "count", **options: float) -> Callable[[], BagNetwork]:
    return lambda: BagNetwork(Encoder(), make_head(head, 8, **options))


def bytes_of(*members: BagNetwork) -> bytes:
    return Ensemble(members).to_files()["bags.safetensors"]


def noisy(instances: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    return (instances[0] + 0.1 * torch.randn(instances[0].shape, generator=generator),)


class StoppedError(Exception):
    """Somebody pressed Ctrl-C."""


def stop_after(calls: int) -> Callable[[int], None]:
    """Function that stops a run when it has been called so many times."""
    done = 0

    def advance(_: int) -> None:
        nonlocal done
        done += 1
        if done == calls:
            raise StoppedError

    return advance


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(simulate: Callable[..., list[Bag]]) -> None:
    bags = simulate(20)
    one, same, other = (
        bytes_of(train(network(), bags, QUICK, held_out=bags[:6], seed=seed, augment=noisy)) for seed in (5, 5, 6)
    )
    assert one == same
    assert one != other


def test_training_and_prediction_are_the_same_on_any_number_of_cores() -> None:
    draw = torch.Generator().manual_seed(0)
    bags = [Bag(str(n), (torch.randn(1500, 6, generator=draw),), n % 2, n % 2) for n in range(4)]
    found = set()
    for count in (1, 2, 3):
        with threads_of_torch(count):
            trained = train(lambda: BagNetwork(nn.Linear(6, 32), make_head("gated_attention", 32)), bags, QUICK)
            said = Ensemble((trained,)).predict(bags)
        found.add((bytes_of(trained), *(each.contributions.tobytes() for each in said)))
    assert len(found) == 1


def test_training_leaves_the_random_numbers_of_its_caller_alone(simulate: Callable[..., list[Bag]]) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train(network(), simulate(6), QUICK)
    assert torch.rand(1) == expected


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_run_that_was_interrupted_ends_in_the_same_bytes(
    calls: int, tmp_path: Path, simulate: Callable[..., list[Bag]]
) -> None:
    bags, checkpoint = simulate(20), tmp_path / "run" / "member.pt"

    def run(**more: Any) -> BagNetwork:
        return train(network(), bags[6:], QUICK, held_out=bags[:6], augment=noisy, **more)

    with pytest.raises(StoppedError):
        run(checkpoint=checkpoint, advance=stop_after(calls))
    assert bytes_of(run(checkpoint=checkpoint)) == bytes_of(run())
    assert bytes_of(run(checkpoint=checkpoint, advance=stop_after(9))) == bytes_of(run())  # finished: nothing to do
    assert [path.name for path in checkpoint.parent.iterdir()] == ["member.pt"]


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path: Path, simulate: Callable[..., list[Bag]]) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"network": Evil()}, tmp_path / "member.pt")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        train(network(), simulate(6), QUICK, checkpoint=tmp_path / "member.pt")
    assert not (tmp_path / "ran").exists()


def test_the_weights_are_those_of_the_best_epoch_on_held_out_bags(simulate: Callable[..., list[Bag]]) -> None:
    """Noise alone: the longer it learns, the worse it gets on others, and it stops."""
    bags = simulate(24, shift=0.0)
    settings = Settings(epochs=60, patience=5, learning_rate=0.05, instances_per_batch=40)
    epochs: list[int] = []
    stopped = train(network(), bags[12:], settings, held_out=bags[:12], advance=epochs.append)
    last = train(network(), bags[12:], settings)
    assert sum(epochs) == settings.epochs
    assert len(epochs) < 40
    assert mean_deviance(stopped, bags[:12]) < mean_deviance(last, bags[:12])


def test_training_begins_at_the_prior(simulate: Callable[..., list[Bag]]) -> None:
    bags = simulate(20)
    still = QUICK.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    bias = train(network(), bags, still).head.output_layers()[0].bias
    rate = sum(bag.low for bag in bags) / sum(bag.size for bag in bags)
    assert torch.sigmoid(bias).item() == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_learns_what_it_should(name: str, simulate: Callable[..., list[Bag]]) -> None:
    bags, others = simulate(120, 1, shift=3.0), simulate(120, 2, shift=3.0)
    settings = Settings(epochs=20, instances_per_batch=60, learning_rate=0.01)
    trained = train(network(name), bags, settings)
    said = [prediction.probability for prediction in Ensemble((trained,)).predict(others)]
    assert auc([bag.positive for bag in others], said) > 0.85


def test_bags_of_mixed_labels_train_one_count_head(simulate: Callable[..., list[Bag]]) -> None:
    exact = simulate(60, 1)
    vague = [Bag(bag.name, bag.instances, *((1, math.inf) if bag.low else (0, 2))) for bag in exact[::3]]
    mixed = [*exact[1::3], *exact[2::3], *vague]
    trained = train(
        network(leak=0.05, found=0.9), mixed, Settings(epochs=20, learning_rate=0.01, instances_per_batch=60)
    )
    assert mean_deviance(trained, exact) < 1.5


def test_an_ensemble_predicts_in_the_order_of_the_bags_whatever_the_chunks(simulate: Callable[..., list[Bag]]) -> None:
    bags = [*simulate(15), Bag("none", (torch.zeros(0, FEATURES),))]
    ensemble = fit(network(), simulate(20), QUICK)
    whole, parts = ensemble.predict(bags), ensemble.predict(bags, instances_per_chunk=3)
    assert [prediction.name for prediction in parts] == [bag.name for bag in bags]
    for one, other, bag in zip(whole, parts, bags, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        assert one.contributions.shape == (bag.size,)
        torch.testing.assert_close(one.contributions, other.contributions)


def test_a_bag_larger_than_a_chunk_never_enters_the_encoder_whole() -> None:
    seen: list[int] = []

    class Watched(nn.Identity):
        def forward(self, features: Tensor) -> Tensor:
            seen.append(len(features))
            return features

    ensemble = Ensemble((BagNetwork(Watched(), make_head("mean", 2)).eval(),))
    ensemble.predict([Bag("slide", (torch.zeros(1000, 2, dtype=torch.float16),))], instances_per_chunk=300)
    assert seen == [300, 300, 300, 100]


def test_counts_expected_and_probability_of_a_prediction_agree(simulate: Callable[..., list[Bag]]) -> None:
    ensemble = fit(network(), simulate(20), QUICK)
    prediction = next(
        said for bag, said in zip(simulate(8), ensemble.predict(simulate(8), most=12), strict=True) if bag.size
    )
    assert prediction.counts is not None
    assert prediction.counts.shape == (13,)
    assert prediction.counts.sum().item() == pytest.approx(1, abs=1e-5)
    assert prediction.probability == pytest.approx(1 - prediction.counts[0].item(), abs=1e-5)
    assert prediction.expected == pytest.approx((prediction.counts * np.arange(13)).sum().item(), abs=1e-4)
    assert prediction.expected == pytest.approx(prediction.contributions.sum().item(), abs=1e-4)


def test_other_heads_have_no_counts(simulate: Callable[..., list[Bag]]) -> None:
    prediction = fit(network("mean"), simulate(12), QUICK).predict(simulate(2))[0]
    assert prediction.counts is None
    assert prediction.expected is None


@pytest.mark.parametrize("head", ["count", "mean"])
def test_the_temperature_undoes_overconfidence(head: str, simulate: Callable[..., list[Bag]]) -> None:
    bags = simulate(200, shift=1.0)
    honest = train(lambda: BagNetwork(nn.Identity(), make_head(head, FEATURES)), bags, Settings(epochs=40))
    usual = fit_temperature([(honest, bags)], 64)
    layer = honest.head.output_layers()[0]
    with torch.no_grad():
        layer.weight *= 3
        layer.bias *= 3
    assert fit_temperature([(honest, bags)], 64) == pytest.approx(3 * usual, rel=0.01)


def test_an_ensemble_is_read_again_as_it_was_written(tmp_path: Path, simulate: Callable[..., list[Bag]]) -> None:
    ensemble = fit(network("clam_sb", hidden=5, most=3), simulate(20, labels="binary"), QUICK)
    for name, content in ensemble.to_files().items():
        (tmp_path / name).write_bytes(content)
    again = read_ensemble(tmp_path, Encoder)
    assert again.to_files() == ensemble.to_files()
    for one, other in zip(ensemble.predict(simulate(5)), again.predict(simulate(5)), strict=True):
        assert one.probability == other.probability


def test_a_damaged_ensemble_is_refused_in_a_sentence(tmp_path: Path) -> None:
    files = Ensemble((network()(),)).to_files()

    def refused(match: str, encoder: Callable[[], nn.Module] = Encoder, **changed: bytes | None) -> None:
        for name, content in files.items():
            new = changed.get(name.rpartition(".")[2], content)
            (tmp_path / name).unlink(missing_ok=True)
            if new is not None:
                (tmp_path / name).write_bytes(new)
        with pytest.raises(InvalidModelError, match=match):
            read_ensemble(tmp_path, encoder)

    refused("cannot be read", json=None)
    refused("bags.safetensors is missing", safetensors=None)
    refused("cannot be read", safetensors=files["bags.safetensors"][:100])
    refused("is not right", json=b"{}")
    refused("There is no head median", json=files["bags.json"].replace(b'"count"', b'"median"'))
    refused("has no option size", json=files["bags.json"].replace(b'"leak"', b'"size"'))
    refused("do not fit the network", json=files["bags.json"].replace(b'"members": 1', b'"members": 2'))
    refused("do not fit the network", nn.Identity)
    old = files["bags.json"].replace(b'"format": 2', b'"format": 1')
    refused("train the model anew", json=old.replace(b'"clustered": false', b'"clustered": true'))


def test_folds_keep_a_patient_together_and_share_the_positive_ones(simulate: Callable[..., list[Bag]]) -> None:
    bags = [
        Bag(f"{patient}-{scan}", (torch.zeros(3, 1),), patient % 4 == 0, patient % 4 == 0, patient=f"p{patient}")
        for patient in range(40)
        for scan in range(2)
    ]
    folds = stratified_folds(bags, 5, seed=1)
    assert sorted(row for rows in folds.values() for row in rows) == list(range(80))
    owners = [{bags[row].owner for row in rows} for rows in folds.values()]
    assert sum(map(len, owners)) == 40
    assert [sum(bags[row].low for row in rows) for rows in folds.values()] == [4] * 5
    assert folds != stratified_folds(bags, 5, seed=2)


def test_there_are_fewer_folds_where_there_are_fewer_positive_patients() -> None:
    def bags(positive: int) -> list[Bag]:
        return [Bag(str(n), (torch.zeros(3, 1),), n < positive, n < positive) for n in range(20)]

    assert len(stratified_folds(bags(3), 5, 0)) == 3
    with pytest.raises(InvalidInputError, match=r"1 positive and 19 negative patients .* at least two of each"):
        stratified_folds(bags(1), 5, 0)


def test_nobody_is_predicted_by_a_network_that_has_seen_the_patient(
    monkeypatch: pytest.MonkeyPatch, simulate: Callable[..., list[Bag]]
) -> None:
    bags = [
        Bag(f"{bag.name}-{scan}", bag.instances, bag.low, bag.high, patient=bag.name, centre=bag.centre)
        for bag in simulate(24)
        for scan in range(2)
    ]
    seen: list[set[str]] = []
    predicted: list[set[str]] = []

    def watched(make: Any, bags: Any, settings: Any, *, held_out: Any, **more: Any) -> BagNetwork:
        seen.append({bag.owner for bag in [*bags, *held_out]})
        assert not {bag.owner for bag in bags} & {bag.owner for bag in held_out}
        return train(make, bags, settings, held_out=held_out, **more)

    predict = Ensemble.predict

    def watched_predict(self: Ensemble, bags: Any, **more: Any) -> Any:
        predicted.append({bag.owner for bag in bags})
        assert not predicted[-1] & seen[-1]
        return predict(self, bags, **more)

    monkeypatch.setattr("preop.mil.validation.train", watched)
    monkeypatch.setattr(Ensemble, "predict", watched_predict)
    found = cross_validate(network(), bags, QUICK.model_copy(update={"epochs": 1}), folds=3)
    assert [held_out.prediction.name for held_out in found] == [bag.name for bag in bags]
    assert {held_out.fold for held_out in found} == {"0", "1", "2"}
    assert set.union(*predicted) == {bag.owner for bag in bags}


def test_a_centre_is_left_out_whole(simulate: Callable[..., list[Bag]]) -> None:
    bags = simulate(24)
    found = cross_validate(network(), bags, QUICK.model_copy(update={"epochs": 1}), by="centre")
    assert [held_out.fold for held_out in found] == [bag.centre for bag in bags]


def test_leaving_a_centre_out_needs_two() -> None:
    bags = [Bag(str(n), (torch.zeros(3, FEATURES),), n % 2, n % 2, centre="A") for n in range(16)]
    with pytest.raises(InvalidInputError, match="All bags come from 1 centre; expected at least two"):
        cross_validate(network(), bags, QUICK, by="centre")


def test_who_was_at_two_centres_does_not_train_for_either(
    monkeypatch: pytest.MonkeyPatch, simulate: Callable[..., list[Bag]]
) -> None:
    bags = [
        Bag(bag.name, bag.instances, bag.low, bag.high, patient="same" if n in {1, 2} else "", centre="AABB"[n % 4])
        for n, bag in enumerate(simulate(40))
    ]
    seen: list[set[str]] = []

    def watched(make: Any, bags: Any, settings: Any, *, held_out: Any, **more: Any) -> BagNetwork:
        seen.append({bag.owner for bag in [*bags, *held_out]})
        return train(make, bags, settings, held_out=held_out, **more)

    monkeypatch.setattr("preop.mil.validation.train", watched)
    cross_validate(network(), bags, QUICK.model_copy(update={"epochs": 1}), by="centre")
    assert not any("same" in owners for owners in seen)


def test_a_loss_that_is_not_finite_ends_training_in_a_sentence() -> None:
    def broken() -> BagNetwork:
        made = network()()
        for weights in made.parameters():
            torch.nn.init.constant_(weights, math.nan)
        return made

    bags = [Bag(str(n), (torch.ones(3, FEATURES),), n % 2, n % 2) for n in range(8)]
    with pytest.raises(
        InvalidInputError, match=r"ends in epoch 1, for the loss is (nan|inf) \(bags .*look for outliers"
    ):
        train(broken, bags, QUICK)


def test_bags_of_other_widths_are_refused_before_training() -> None:
    bags = [Bag(str(n), (torch.zeros(3, FEATURES + (n == 5)),), n % 2, n % 2) for n in range(8)]
    sentence = (
        f"The instances of the bag 5 are {FEATURES + 1} fractions and those of the bag 0 are {FEATURES} fractions"
    )
    with pytest.raises(InvalidInputError, match=sentence):
        cross_validate(network(), bags, QUICK)
    with pytest.raises(InvalidInputError, match=sentence):
        train(network(), bags, QUICK)


def test_an_interrupted_validation_ends_in_the_same_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulate: Callable[..., list[Bag]]
) -> None:
    bags = simulate(16)

    def run(folder: Path) -> list[float]:
        return [said.prediction.probability for said in cross_validate(network(), bags, QUICK, folds=2, folder=folder)]

    whole = run(tmp_path / "whole")
    trained = counted(monkeypatch, stop_at=3)
    with pytest.raises(StoppedError):
        run(tmp_path / "stopped")
    monkeypatch.undo()
    trained = counted(monkeypatch)
    assert run(tmp_path / "stopped") == whole
    assert next(trained) == 4  # members that are finished are only read


def counted(monkeypatch: pytest.MonkeyPatch, stop_at: int = 0) -> Iterator[int]:
    """Count how many members are trained; stop before one of them."""
    calls = 0

    def watched(*arguments: Any, **more: Any) -> BagNetwork:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise StoppedError
        return train(*arguments, **more)

    monkeypatch.setattr("preop.mil.validation.train", watched)
    return iter(lambda: calls, -1)


def test_a_folder_of_another_run_is_refused(tmp_path: Path, simulate: Callable[..., list[Bag]]) -> None:
    quick = QUICK.model_copy(update={"epochs": 1})
    fit(network(), simulate(12), quick, folder=tmp_path / "run")
    fit(network(), simulate(12), quick, folder=tmp_path / "run")
    for other in (
        lambda: fit(network(), simulate(12, seed=1), quick, folder=tmp_path / "run"),
        lambda: fit(network("mean"), simulate(12), quick, folder=tmp_path / "run"),
        lambda: fit(network(), simulate(12), QUICK, folder=tmp_path / "run"),
    ):
        with pytest.raises(InvalidOutputError, match="was made with"):
            other()


def test_what_cannot_be_learned_from_is_refused_before_any_work(simulate: Callable[..., list[Bag]]) -> None:
    bags = simulate(12)
    with pytest.raises(InvalidInputError, match="Two bags are called p003"):
        fit(network(), [*bags, bags[3]], QUICK)
    vague = Bag("vague", bags[1].instances, 0, 3)
    with pytest.raises(InvalidInputError, match="The bag vague is labelled with 0 to 3"):
        fit(network("mean"), [*bags, vague], QUICK)
    with pytest.raises(InvalidInputError, match="There are 0 bags"):
        train(network(), [], QUICK)


def test_progress_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], simulate: Callable[..., list[Bag]]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    fit(network(), simulate(12), QUICK)
    assert "Training" in capsys.readouterr().err
