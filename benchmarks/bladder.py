"""What a count is worth, on simulated bladder cancer: ``python benchmarks/bladder.py FOLDER``.

The same network, on the same patients and the same measures of their nodes, learns from the labels of all nodes, from the
pathologist's counts (of a patient, of each side, of each field of the dissection), or from pN0/pN+ by gated attention. So these
rows differ in the loss alone. Beside them stand what the algorithm itself learns by default, its monotone scorer from the counts of
each side, and the same scorer told the label of every node; its network, the mean of both, and what was the default before (a
network on six measures in slices, the count of a patient); a logistic regression on a patient's mean measures; the largest short axis, the rules of
8 and 10 mm, and Node-RADS as far as it is measured; a boosted model that knows the labels of the nodes of all training patients together, for what such measures can
give at most; and an observer who knows what the patients were made from. Every seed has training patients of its own; the test
patients are the same for all.

Nodes are assigned to the sides and fields in which they truly lie. Everything else is measured on the simulated CT. With
``--instances radiomics`` nodes have radiomics features beside their measures, in a folder of their own. Finished parts are kept
in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from bladder_lymph_nodes.lymph_nodes import MEASURED, find_lymph_nodes, measures_of, radiomics_of
from bladder_lymph_nodes.network import RadiomicsEncoder, make_network, scaled
from bladder_lymph_nodes.node_rads import HIGHEST, node_rads
from bladder_lymph_nodes.pathology import FieldReport, parts_of_fields, parts_of_total
from bladder_lymph_nodes.scorer import learn_monotone
from bladder_lymph_nodes.settings import NetworkSettings
from bladder_lymph_nodes.simulation import PatientFacts, draw_facts, draw_patient
from preop.cohort import map_patients
from preop.folders import open_resumable_run
from preop.imaging import Image
from preop.mil import HEADS as MIL_HEADS
from preop.mil import Bag, BagNetwork, Ensemble, Part, Settings, fit, make_head, stratified_folds, train
from preop.mil.heads import CountHead
from preop.statistics import BinaryCounts, auc, auc_delong, oracle_auc

TRAINING_PATIENTS, TEST_PATIENTS = 250, 500
TEST_SEED, FIRST_TRAINING_SEED = 99, 1000
FOUND, LEAK = 0.97, 0.05
SETTINGS = Settings(epochs=40, patience=10, learning_rate=1e-3, weight_decay=0.1, instances_per_batch=256)
DEFAULT = Settings(epochs=60, patience=15, folds=5, learning_rate=4e-3, instances_per_batch=256)
BY = {"count_by_side": "side", "count_by_field": "region"}
OWN = {
    "previous": (NetworkSettings(instances="measures", measures="axial", found=FOUND, leak=LEAK), DEFAULT, None),
    "monotone": (
        NetworkSettings(instances="signs", measures="spatial", found=FOUND, leak=LEAK),
        Settings(),
        learn_monotone,
    ),
    "monotone_labels": (
        NetworkSettings(instances="signs", measures="spatial", found=FOUND, leak=LEAK),
        Settings(),
        learn_monotone,
    ),
    "network": (NetworkSettings(instances="measures", measures="spatial", found=FOUND, leak=LEAK), DEFAULT, None),
}
"""What the algorithm's training can learn: network, settings, and how where not by epochs."""
METHODS = {
    "instance_labels": "node labels",
    "count_by_field": "counts by field",
    "count_by_side": "counts by side",
    "count": "exact count",
    "gated_attention": "pN0/pN+, gated attention",
    "mean": "pN0/pN+, mean measures",
    "previous": "algorithm: previous default",
    "monotone": "algorithm: monotone scorer, default",
    "monotone_labels": "(the same scorer, node labels)",
    "network": "algorithm: network, spatial",
    "ceiling": "boosted, node labels of all seeds",
}
RULES_MM, CATEGORIES = (8.0, 10.0), (3, 4)
Scores = dict[str, Any]


def main() -> None:
    """Simulate, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; 0.2 GB")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test", type=int, default=TEST_PATIENTS, help="number of test patients")
    parser.add_argument(
        "--instances",
        choices=("measures", "radiomics"),
        default="measures",
        help="what is known of a node: its measures alone, or its radiomics features, too; a folder for each",
    )
    arguments = parser.parse_args()
    # What was said of other patients must not be taken for what is asked; further seeds may be.
    open_resumable_run(arguments.folder, {"test": arguments.test, "instances": arguments.instances})
    seeds = [FIRST_TRAINING_SEED + number for number in range(arguments.seeds)]
    cohorts = [(TEST_SEED, arguments.test), *((seed, TRAINING_PATIENTS) for seed in seeds)]
    simulate(arguments.folder, cohorts, arguments.instances)
    runs = [(method, seed) for seed in seeds for method in METHODS if method != "ceiling"]
    runs.append(("ceiling", len(seeds)))  # by how many seeds it knows, or a result of fewer would be taken for it
    for _, result in map_patients(
        partial(_run, folder=arguments.folder, seeds=seeds, tests=arguments.test), runs, description="Training"
    ):
        if result is not None:
            raise result
    print_table(arguments.folder, seeds, arguments.test)


def simulate(folder: Path, cohorts: Sequence[tuple[int, int]], instances: str) -> None:
    """Draw patients and measure their nodes, each into a file."""
    patients = [(seed, number) for seed, count in cohorts for number in range(count)]
    todo = [patient for patient in patients if not patient_file(folder, *patient).is_file()]
    for _, result in map_patients(
        partial(_simulate, folder=folder, instances=instances), todo, description="Simulating"
    ):
        if result is not None:
            raise result


def print_table(folder: Path, seeds: Sequence[int], tests: int) -> None:
    """Print AUCs as mean and range over the seeds."""
    test = [load_patient(folder, TEST_SEED, number) for number in range(tests)]
    positive = np.array([int(each["count"] > 0) for each in test])
    inside = [number for number, each in enumerate(test) if each["count"] > 0 and each["positive"].any()]
    truth = np.concatenate([test[number]["positive"] for number in inside]).astype(int)
    largest = [float(each["measures"][:, 0].max()) for each in test]
    size = [float(score) for number in inside for score in test[number]["measures"][:, 0]]
    known = [float(score) for number in inside for score in test[number]["oracle"]]
    chances = np.array([each["facts"].oracle.patient for each in test])
    print(f"{tests} test patients, {positive.sum()} pN+; {TRAINING_PATIENTS} to train; {len(seeds)} seeds; ", end="")
    print(f"{os.cpu_count()} cores, torch {torch.__version__}\n")
    print(f"{'':38}{'patient AUC':>28}{'node AUC in pN+':>28}")
    print(f"{'observer who knows the simulation':38}{auc(positive, chances):>10.3f}{'':18}{auc(truth, known):>10.3f}")
    print(f"{'(expected of that observer)':38}{oracle_auc(chances):>10.3f}")
    print(f"{'largest short axis':38}{auc(positive, largest):>10.3f}{'':18}{auc(truth, size):>10.3f}")
    rads = [float(each["node_rads"].max()) for each in test]
    of_node = [float(score) for number in inside for score in test[number]["node_rads"]]
    print(f"{'Node-RADS, as far as measured':38}{auc(positive, rads):>10.3f}{'':18}{auc(truth, of_node):>10.3f}")
    found: dict[str, list[Scores]] = {}
    for name, words in METHODS.items():
        runs = seeds if name != "ceiling" else [len(seeds)]
        found[name] = [json.loads(_result(folder, name, seed).read_text()) for seed in runs]
        _print_row(words, found[name], positive, truth, inside)
    both = [_mean(pair) for pair in zip(found["monotone"], found["network"], strict=True)]
    _print_row("algorithm: mean of scorer and network", both, positive, truth, inside)
    print(f"\n{'rule':38}{'sensitivity':>28}{'specificity':>28}{'AUC':>10}")
    rules = {f"short axis over {limit:g} mm": np.array(largest) > limit for limit in RULES_MM}
    rules |= {f"Node-RADS {category} or more": np.array(rads) >= category for category in CATEGORIES}
    for words, suspicious in rules.items():
        called = suspicious.astype(int)
        counts = BinaryCounts.of(positive, called)
        shown = "".join(
            f"{each.value:>10.3f} ({each.lower:.3f} to {each.upper:.3f})" if each else f"{'-':>28}"
            for each in (counts.sensitivity, counts.specificity)
        )
        print(f"{words:38}{shown}{auc(positive, called):>10.3f}")
    width = auc_delong(positive, found["count"][0]["patients"])
    print(
        f"\n95 % interval of one AUC on these patients (exact count, first seed): {width.lower:.3f} to {width.upper:.3f}"
    )


def _print_row(
    words: str, runs: Sequence[Scores], positive: NDArray[Any], truth: NDArray[Any], inside: Sequence[int]
) -> None:
    of_patients = [auc(positive, each["patients"]) for each in runs]
    of_nodes = [
        auc(truth, [score for number in inside for score in each["nodes"][number]]) for each in runs if each["nodes"]
    ]
    print(f"{words:38}{in_words(of_patients)}{in_words(of_nodes) if of_nodes else ''}")


def in_words(values: Sequence[float]) -> str:
    """Mean, and range, of the seeds."""
    return f"{np.mean(values):>10.3f} ({min(values):.3f} to {max(values):.3f})"


def _mean(runs: Sequence[Scores]) -> Scores:
    return {
        "patients": np.mean([each["patients"] for each in runs], axis=0).tolist(),
        "nodes": [np.mean(rows, axis=0).tolist() for rows in zip(*(each["nodes"] for each in runs), strict=True)],
    }


def _simulate(patient: tuple[int, int], *, folder: Path, instances: str) -> None:
    made = draw_patient(*patient, around_nodes_mm=12.0)
    measure(patient_file(folder, *patient), made.ct, made.lymph_nodes, instances)


def measure(path: Path, ct: Image, lymph_nodes: Image, instances: str) -> None:
    """Write what is measured of the nodes of a patient."""
    torch.set_num_threads(1)
    nodes = find_lymph_nodes(ct, lymph_nodes)
    rows = radiomics_of(ct, nodes) if instances == "radiomics" else []
    longest: dict[str, float] = max(rows, key=len, default={})
    names = sorted(longest)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(f".{path.name}")
    np.savez(
        partial_file,
        label=np.array([node.number for node in nodes.nodes]),
        node_rads=np.array([node_rads(node).category or HIGHEST for node in nodes.nodes]),
        measures=measures_of(nodes.nodes, "spatial"),
        radiomics=np.array([[row.get(name, np.nan) for name in names] for row in rows]).reshape(len(nodes.nodes), -1),
    )
    partial_file.replace(path)


def _run(run: tuple[str, int], *, folder: Path, seeds: Sequence[int], tests: int) -> None:
    """Train one model on the patients of one seed, and let it predict the test patients."""
    torch.set_num_threads(1)
    method, seed = run
    path = _result(folder, method, seed)
    if path.is_file():
        return
    numbers = [
        (each, number) for each in (seeds if method == "ceiling" else [seed]) for number in range(TRAINING_PATIENTS)
    ]
    training = [load_patient(folder, *each) for each in numbers]
    test = [load_patient(folder, TEST_SEED, number) for number in range(tests)]
    if method == "mean":
        scores: Scores = {"patients": _mean_measures(training, test), "nodes": None}
    elif method == "ceiling":
        scores = boosted(training, test, _instances)
    elif method in OWN:
        scores = _own(method, seed, training, test)
    else:
        scores = _network(method, seed, training, test, folder / "checkpoints" / f"{method}_{seed}.pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scores))


def _network(method: str, seed: int, training: Sequence[Any], test: Sequence[Any], checkpoint: Path) -> Scores:
    bags = [bag_of(str(number), each, BY.get(method, "patient")) for number, each in enumerate(training)]
    held_out = stratified_folds(bags, 5, seed)["0"]
    trained = train(
        partial(_make_network, "count" if method in BY else method, _instances(training[0]).shape[1]),
        [bag for number, bag in enumerate(bags) if number not in held_out],
        SETTINGS,
        held_out=[bags[number] for number in held_out],
        seed=seed,
        checkpoint=checkpoint,
    )
    return predictions_of(Ensemble((trained,)), [bag_of(str(number), each) for number, each in enumerate(test)])


def _own(method: str, seed: int, training: Sequence[Any], test: Sequence[Any]) -> Scores:
    """Learn as the algorithm's training does."""
    network, settings, learn = OWN[method]
    measured = MEASURED[network.measures]
    by = {"previous": None, "monotone_labels": "node"}.get(method, network.fields)
    known, new = (
        [
            replace(
                bag_of(str(number), each, by),
                instances=(torch.from_numpy(each["measures"][:, :measured]),),
            )
            for number, each in enumerate(part)
        ]
        for part in (training, test)
    )
    settings = settings.model_copy(update={"seed": seed})
    return predictions_of(fit(partial(make_network, network), known, settings, learn=learn), new)


def predictions_of(ensemble: Ensemble, bags: Sequence[Bag]) -> Scores:
    """Give the probability of each patient, and of the nodes of each."""
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


def _mean_measures(training: Sequence[Any], test: Sequence[Any]) -> list[float]:
    """Logistic regression on the mean of each measure over a patient's nodes, its penalty by inner cross-validation."""
    known, new = (np.array([np.nanmean(_instances(each), axis=0) for each in part]) for part in (training, test))
    usable = np.isfinite(known).all(0) & np.isfinite(new).all(0)
    model = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=8, cv=5, scoring="roc_auc", max_iter=5000, random_state=0, l1_ratios=(0,), use_legacy_attributes=False
        ),
    )
    model.fit(known[:, usable], [int(each["count"] > 0) for each in training])
    return [float(score) for score in model.predict_proba(new[:, usable])[:, 1]]


def boosted(
    training: Sequence[Any], test: Sequence[Any], rows_of: Callable[[Any], NDArray[np.floating[Any]]]
) -> Scores:
    """Boosted trees on the labels of all nodes; of a patient, the chance of one positive node or more, as if independent.

    Parameters
    ----------
    rows_of
        Gives what is known of the nodes of a patient (nodes, features).
    """
    known, labels = (
        np.vstack([rows_of(each) for each in training]),
        np.hstack([each["positive"] for each in training]),
    )
    model = HistGradientBoostingClassifier(
        max_iter=300, learning_rate=0.05, max_leaf_nodes=8, l2_regularization=5, early_stopping=True, random_state=0
    )
    model.fit(known, labels)
    nodes = [model.predict_proba(rows_of(each))[:, 1] for each in test]
    return {"patients": [float(1 - np.prod(1 - each)) for each in nodes], "nodes": [each.tolist() for each in nodes]}


def bag_of(name: str, stored: Any, by: str | None = None) -> Bag:
    """Give a patient with the count; by side or region, with what was counted there; by node, with the label of each."""
    count = float(stored["count"])
    instances = torch.from_numpy(_instances(stored))
    parts = None
    if by == "node":
        parts = tuple(
            Part((row,), label, label, found=1.0, leak=0.0)
            for row, label in enumerate(stored["positive"].astype(float))
        )
    elif by is not None:
        settings = NetworkSettings(fields=by, found=FOUND, leak=LEAK)
        removed = sum(field.removed for field in stored["fields"])
        parts = parts_of_fields(stored["places"], stored["fields"], settings)
        if by == "patient":
            parts = parts_of_total(len(instances), count, count, removed, settings)
    return Bag(name, (instances,), count, count, torch.from_numpy(stored["positive"]), may_lack=True, parts=parts)


def _instances(stored: Any) -> NDArray[np.float32]:
    """What is measured of each node, brought near 1, and its radiomics (nodes, features)."""
    return np.hstack([scaled(torch.from_numpy(stored["measures"])).numpy(), stored["radiomics"]]).astype(np.float32)


def load_patient(folder: Path, seed: int, number: int) -> Any:
    """Read what was measured of a patient, and add what is known of the nodes."""
    facts: PatientFacts = draw_facts(seed, number)
    with np.load(patient_file(folder, seed, number)) as stored:
        rows = stored["label"] - 1
        return {
            **stored,
            "facts": facts,
            "positive": facts.nodes.positive[rows],
            "oracle": facts.oracle.node[rows],
            "count": facts.positive_nodes,
            "fields": [
                FieldReport(each.side or "", each.station, each.removed, each.positive) for each in facts.fields
            ],
            "places": list(zip(facts.nodes.side[rows].tolist(), facts.nodes.station[rows].tolist(), strict=True)),
        }


def patient_file(folder: Path, seed: int, number: int) -> Path:
    """Where what was measured of a patient is kept."""
    return folder / "patients" / str(seed) / f"{number:04d}.npz"


def _result(folder: Path, method: str, seed: int) -> Path:
    return folder / "results" / f"{method}_{seed}.json"


if __name__ == "__main__":
    main()
