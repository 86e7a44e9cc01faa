"""The simulated schedule of a cluster, on cases whose length is known."""

import pytest

from benchmarks.validation import Setting, simulate

EVEN = Setting(patients=12, workers=3, compute_s=60, spread=0, image_mb=0, model_mb=0, load_s=0, task_s=0)


def minutes(**changed: float) -> float:
    return simulate(Setting(**{**vars(EVEN), **changed}), seed=1).hours * 60


def test_alike_patients_are_shared_evenly() -> None:
    found = simulate(EVEN, seed=1)
    assert found.hours * 60 == pytest.approx(4)
    assert found.busy == pytest.approx(1)
    assert found.again == 0


def test_model_images_and_scheduler_take_their_time() -> None:
    assert minutes(load_s=60) == pytest.approx(5)
    assert minutes(workers=1, image_mb=3000) == pytest.approx(12 * (1 + 0.5 + 0.5))
    assert minutes(task_s=60) == pytest.approx(13)


def test_a_slow_worker_holds_up_others_only_where_shares_are_given_out_beforehand() -> None:
    slow = {"slow": 0.5, "slowness": 10.0, "workers": 4, "patients": 80}
    assert minutes(**slow) < minutes(**slow, static=True) / 3


def test_what_a_dead_worker_was_at_is_done_by_others() -> None:
    found = simulate(Setting(**{**vars(EVEN), "patients": 300, "deaths_per_hour": 2.0}), seed=1)
    assert found.again > 0
    assert found.hours * 60 > 100
