"""What a count is worth, on simulated bladder cancer: ``python benchmarks/bladder.py FOLDER``.

The same network, on the same patients, learns from the labels of all nodes, from the pathologist's count, or from
pN0/pN+ by gated attention; the algorithm's monotone scorer learns from the count, too, and so does its default model (an
ensemble on measures, with the settings of the model card). They are compared with a logistic
regression on the mean radiomics of a patient's nodes, the largest short axis, the rules of 8 and 10 mm that clinicians use, and
the oracle of an observer who knows what the patients were made from. Every seed has training patients of its own; the test patients are the same for all.

The encoder is smaller than the one of cubes, so that all runs fit two cores: the algorithm's own for radiomics, a hidden
layer on standardised features of each node, with what a radiologist would measure of it among them. So its rows know the
same of a node, and differ in the loss alone; the monotone scorer and the default model know the six measures. ``--instances measures`` leaves the
radiomics out, for all. All is measured on the simulated CT. Finished parts are kept in FOLDER, and a run that was stopped
goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bladder_lymph_nodes.lymph_nodes import find_lymph_nodes, measures_of, radiomics_of
from bladder_lymph_nodes.network import RadiomicsEncoder, make_network
from bladder_lymph_nodes.scorer import learn_monotone
from bladder_lymph_nodes.settings import NetworkSettings
from bladder_lymph_nodes.simulation import draw_facts, draw_patient
from preop.cohort import map_patients
from preop.mil import HEADS as MIL_HEADS
from preop.mil import Bag, BagNetwork, Ensemble, Settings, fit, make_head, stratified_folds, train
from preop.mil.heads import CountHead
from preop.statistics import BinaryCounts, auc, auc_delong, oracle_auc

TRAINING_PATIENTS, TEST_PATIENTS = 250, 500
TEST_SEED, FIRST_TRAINING_SEED = 99, 1000
FOUND, LEAK = 0.97, 0.05
SETTINGS = Settings(epochs=40, patience=10, learning_rate=1e-3, weight_decay=0.1, instances_per_batch=256)
HEADS = {
    "instance_labels": "node labels",
    "count": "exact count",
    "monotone": "exact count, monotone on measures",
    "default": "exact count, default model",
    "gated_attention": "gated attention, patient label",
}
RULES_MM = (8.0, 10.0)
ON_MEASURES = {
    "monotone": (NetworkSettings(instances="signs", found=FOUND, leak=LEAK), Settings(), learn_monotone),
    "default": (
        NetworkSettings(instances="measures", found=FOUND, leak=LEAK),
        Settings(epochs=60, patience=15, folds=5, learning_rate=4e-3, instances_per_batch=256),
        None,
    ),
}
"""What the algorithm itself learns, on the six measures of a node."""
Scores = dict[str, Any]


def main() -> None:
    """Simulate, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; 0.2 GB")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--instances",
        choices=("radiomics", "measures"),
        default="radiomics",
        help="what is known of a node: its measures and radiomics, or its measures alone; a folder for each",
    )
    arguments = parser.parse_args()
    seeds = [FIRST_TRAINING_SEED + number for number in range(arguments.seeds)]
    cohorts = [(TEST_SEED, TEST_PATIENTS), *((seed, TRAINING_PATIENTS) for seed in seeds)]
    simulate(arguments.folder, cohorts, arguments.instances)
    methods = [*HEADS, "radiomics"] if arguments.instances == "radiomics" else [*HEADS]
    runs = [(method, seed) for seed in seeds for method in methods]
    for _, result in map_patients(partial(_run, folder=arguments.folder), runs, description="Training"):
        if result is not None:
            raise result
    print_table(arguments.folder, seeds, methods)


def simulate(folder: Path, cohorts: Sequence[tuple[int, int]], instances: str) -> None:
    """Draw patients and cut out their nodes, each into a file."""
    patients = [(seed, number) for seed, count in cohorts for number in range(count)]
    todo = [patient for patient in patients if not _file(folder, *patient).is_file()]
    for _, result in map_patients(
        partial(_simulate, folder=folder, instances=instances), todo, description="Simulating"
    ):
        if result is not None:
            raise result


def print_table(folder: Path, seeds: Sequence[int], methods: Sequence[str]) -> None:
    """Print AUCs as mean and range over the seeds."""
    test = [_load(folder, TEST_SEED, number) for number in range(TEST_PATIENTS)]
    positive = np.array([int(each["count"] > 0) for each in test])
    inside = [number for number, each in enumerate(test) if each["count"] > 0 and each["positive"].any()]
    truth = np.concatenate([test[number]["positive"] for number in inside]).astype(int)
    largest = [float(each["measures"][:, 0].max()) for each in test]
    size = [float(score) for number in inside for score in test[number]["measures"][:, 0]]
    known = [float(score) for number in inside for score in test[number]["oracle"]]
    chances = np.array([draw_facts(TEST_SEED, number).oracle.patient for number in range(TEST_PATIENTS)])
    print(
        f"{TEST_PATIENTS} test patients, {positive.sum()} pN+; {TRAINING_PATIENTS} to train; {len(seeds)} seeds; ",
        end="",
    )
    print(f"{os.cpu_count()} cores, torch {torch.__version__}\n")
    print(f"{'':34}{'patient AUC':>28}{'node AUC in pN+':>28}")
    print(f"{'oracle':34}{auc(positive, chances):>10.3f}{'':18}{auc(truth, known):>10.3f}")
    print(f"{'(expected oracle)':34}{oracle_auc(chances):>10.3f}")
    print(f"{'largest short axis':34}{auc(positive, largest):>10.3f}{'':18}{auc(truth, size):>10.3f}")
    for name in methods:
        words = HEADS.get(name, "mean radiomics, patient label")
        scores = [json.loads(_result(folder, name, seed).read_text()) for seed in seeds]
        of_patients = [auc(positive, each["patients"]) for each in scores]
        of_nodes = [
            auc(truth, [score for number in inside for score in each["nodes"][number]])
            for each in scores
            if each["nodes"]
        ]
        print(f"{words:34}{_summary(of_patients)}{_summary(of_nodes) if of_nodes else ''}")
    print(f"\n{'rule':34}{'sensitivity':>28}{'specificity':>28}{'AUC':>10}")
    for limit in RULES_MM:
        called = (np.array(largest) > limit).astype(int)
        counts = BinaryCounts.of(positive, called)
        shown = "".join(
            f"{each.value:>10.3f} ({each.lower:.3f} to {each.upper:.3f})" if each else f"{'-':>28}"
            for each in (counts.sensitivity, counts.specificity)
        )
        print(f"{f'short axis over {limit:g} mm':34}{shown}{auc(positive, called):>10.3f}")
    width = auc_delong(positive, json.loads(_result(folder, "count", seeds[0]).read_text())["patients"])
    print(
        f"\n95 % interval of one AUC on these patients (exact count, first seed): {width.lower:.3f} to {width.upper:.3f}"
    )


def _summary(values: Sequence[float]) -> str:
    return f"{np.mean(values):>10.3f} ({min(values):.3f} to {max(values):.3f})"


def _simulate(patient: tuple[int, int], *, folder: Path, instances: str) -> None:
    torch.set_num_threads(1)
    seed, number = patient
    made = draw_patient(seed, number, around_nodes_mm=12.0)
    nodes = find_lymph_nodes(made.ct, made.lymph_nodes)
    truth = {node.label: node for node in made.nodes}
    rows = radiomics_of(made.ct, nodes) if instances == "radiomics" else []
    longest: dict[str, float] = max(rows, key=len, default={})
    names = sorted(longest)
    path = _file(folder, seed, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(f".{path.name}")
    np.savez(
        partial_file,
        measures=measures_of(nodes.nodes),
        radiomics=np.array([[row.get(name, np.nan) for name in names] for row in rows]).reshape(len(nodes.nodes), -1),
        positive=np.array([truth[node.number].positive for node in nodes.nodes]),
        oracle=np.array([truth[node.number].oracle_probability for node in nodes.nodes]),
        count=made.facts.positive_nodes,
    )
    partial_file.replace(path)


def _run(run: tuple[str, int], *, folder: Path) -> None:
    """Train one model on the patients of one seed, and let it predict the test patients."""
    torch.set_num_threads(1)
    head, seed = run
    path = _result(folder, head, seed)
    if path.is_file():
        return
    training = [_load(folder, seed, number) for number in range(TRAINING_PATIENTS)]
    test = [_load(folder, TEST_SEED, number) for number in range(TEST_PATIENTS)]
    if head == "radiomics":
        scores: Scores = {"patients": _radiomics(training, test), "nodes": None}
    else:
        scores = _network(head, seed, training, test, folder / "checkpoints" / f"{head}_{seed}.pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scores))


def _network(head: str, seed: int, training: Sequence[Any], test: Sequence[Any], checkpoint: Path) -> Scores:
    if head in ON_MEASURES:
        return _on_measures(head, seed, training, test)
    bags = [_bag(str(number), each) for number, each in enumerate(training)]
    folds = stratified_folds(bags, 5, seed)
    held_out = folds["0"]
    trained = train(
        partial(_make_network, head, _instances(training[0]).shape[1]),
        [bag for number, bag in enumerate(bags) if number not in held_out],
        SETTINGS,
        held_out=[bags[number] for number in held_out],
        seed=seed,
        checkpoint=checkpoint,
    )
    return _predictions(Ensemble((trained,)), [_bag(str(number), each) for number, each in enumerate(test)])


def _on_measures(name: str, seed: int, training: Sequence[Any], test: Sequence[Any]) -> Scores:
    """Learn as the algorithm's training does; it knows the six measures alone."""
    network, settings, learn = ON_MEASURES[name]
    known, new = (
        [
            replace(_bag(str(number), each), instances=(torch.from_numpy(each["measures"]),))
            for number, each in enumerate(part)
        ]
        for part in (training, test)
    )
    settings = settings.model_copy(update={"seed": seed})
    return _predictions(fit(partial(make_network, network), known, settings, learn=learn), new)


def _predictions(ensemble: Ensemble, bags: Sequence[Bag]) -> Scores:
    predictions = ensemble.predict(bags)
    return {
        "patients": [each.probability for each in predictions],
        "nodes": [each.contributions.tolist() for each in predictions],
    }


def _make_network(head: str, measured: int) -> BagNetwork:
    counts = issubclass(MIL_HEADS[head], CountHead)
    options = {"found": FOUND, "leak": LEAK, "clustered": True} if counts else {}
    encoder = RadiomicsEncoder(measured)
    return BagNetwork(encoder, make_head(head, encoder.features, **options))


def _radiomics(training: Sequence[Any], test: Sequence[Any]) -> list[float]:
    """Logistic regression on the mean of each feature over a patient's nodes, its penalty by inner cross-validation."""
    known, new = (np.array([np.nanmean(each["radiomics"], axis=0) for each in part]) for part in (training, test))
    usable = np.isfinite(known).all(0) & np.isfinite(new).all(0)
    model = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=8, cv=5, scoring="roc_auc", max_iter=5000, random_state=0, l1_ratios=(0,), use_legacy_attributes=False
        ),
    )
    model.fit(known[:, usable], [int(each["count"] > 0) for each in training])
    return [float(score) for score in model.predict_proba(new[:, usable])[:, 1]]


def _bag(name: str, stored: Any) -> Bag:
    count = float(stored["count"])
    return Bag(name, (torch.from_numpy(_instances(stored)),), count, count, torch.from_numpy(stored["positive"]))


def _instances(stored: Any) -> NDArray[np.float32]:
    """What is measured of each node, and its radiomics (nodes, features)."""
    return np.hstack([stored["measures"], stored["radiomics"]]).astype(np.float32)


def _load(folder: Path, seed: int, number: int) -> Any:
    with np.load(_file(folder, seed, number)) as stored:
        return dict(stored)


def _file(folder: Path, seed: int, number: int) -> Path:
    return folder / "patients" / str(seed) / f"{number:04d}.npz"


def _result(folder: Path, head: str, seed: int) -> Path:
    return folder / "results" / f"{head}_{seed}.json"


if __name__ == "__main__":
    main()
