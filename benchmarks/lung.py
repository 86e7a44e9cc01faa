"""How often the nodal stage is right on simulated lung cancer, step by step: ``python benchmarks/lung.py COMMAND FOLDER``.

``anatomy``
    True organs, outlines of the lesions and malignancy of each node are given. What is a node, in which station, which
    lesion is the primary, its side, and N are found: the figures say whether anatomy and staging are right.
``end-to-end``
    CT and PET alone are given, to the shipped networks and the shipped probability of malignancy. Beside it the same
    patients with parts of the truth, which shows where mistakes come from, and two observers who cannot be beaten: one who
    knows the variables of each node, and one who calls a node malignant where uptake is above the blood pool.
``time``
    One case of 256 x 256 x 300 voxels in a process of its own: time and memory of every step, and of one bare forward
    pass of the networks over the tiles.

Finished patients are kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from lung_nodal_stage.assessment import (
    CT,
    PET,
    Assessment,
    Information,
    predict_from_organs,
    predict_from_stations,
    stations_of,
)
from lung_nodal_stage.lesions import Lesion
from lung_nodal_stage.likeness import scan_measures
from lung_nodal_stage.simulation import THIN, SimulatedLesion, SimulatedPatient, draw_patient
from preop.cohort import map_patients
from preop.imaging import Image, resample_like, to_common_frame, write_image
from preop.segmentation import Organs, remove_small_components
from preop.segmentation.tiles import count_tiles
from preop.staging import N, Station, nodal_stage
from preop.statistics import Agreement, Estimate, wilson

SEED = 2026
ALGORITHM = Path(__file__).parents[1] / "algorithms" / "lung_nodal_stage"
AWAY_MM = 3.0
STAGES = ("N0", "N1", "N2a", "N2b", "N3")
MATCH_MM = 6.0
CT_FILE, PET_FILE = "ct.mha", "pet.mha"

Row = dict[str, Any]


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("anatomy", "end-to-end", "time"))
    parser.add_argument("folder", type=Path, help="for results")
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--model", type=Path, default=ALGORITHM / "model")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        _time_one(arguments.folder, arguments.model)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if arguments.command == "time":
        measure_time(arguments.folder / "time", arguments.model)
    elif arguments.command == "anatomy":
        print_anatomy(_all(_with_true_anatomy, arguments.folder / "anatomy", arguments.patients))
    else:
        run = functools.partial(_end_to_end, model=arguments.model)
        print_end_to_end(_all(run, arguments.folder / "end-to-end", arguments.patients))


def _all(run: Callable[[int], Row], folder: Path, patients: int) -> list[Row]:
    """Run all patients that are not done yet, and read the results of all."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [number for number in range(patients) if not _file(folder, number).is_file()]
    keep = functools.partial(_keep, run=run, folder=folder)
    for _, error in map_patients(keep, todo, description="Staging"):
        if error is not None:
            raise error
    return [json.loads(_file(folder, number).read_text()) for number in range(patients)]


def _keep(number: int, *, run: Callable[[int], Row], folder: Path) -> None:
    row = run(number)
    partial = _file(folder, number).with_suffix(".partial")
    partial.write_text(json.dumps(row))
    partial.replace(_file(folder, number))


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"


# --- true anatomy -----------------------------------------------------------------------------------------------------


def _with_true_anatomy(number: int) -> Row:
    patient = draw_patient(SEED, number)
    suv, _ = to_common_frame(patient.pet, patient.ct)
    found = predict_from_organs(
        suv, true_organs(patient), patient.lesions, Information(), _true_malignancy(patient.facts.lesions)
    )
    return _row(patient, found)


def true_organs(patient: SimulatedPatient) -> Organs:
    """Give the true organs on the grid of the CT."""
    labels = resample_like(patient.organs.labels, patient.ct.geometry, interpolation="nearest", outside=0)
    return Organs(labels, patient.organs.indices)


def _true_malignancy(lesions: Sequence[SimulatedLesion]) -> Callable[[Lesion], float]:
    """Say of each lesion that was found whether it is malignant, by the nearest true one."""

    def of(lesion: Lesion) -> float:
        truth = _nearest(lesion, lesions)
        return float(truth is not None and truth.kind == "node" and truth.malignant)

    return of


def _nearest(lesion: Lesion, lesions: Sequence[SimulatedLesion]) -> SimulatedLesion | None:
    distances = [float(np.linalg.norm(np.subtract(lesion.centre_mm, each.centre_mm))) for each in lesions]
    place = int(np.argmin(distances))
    return lesions[place] if distances[place] <= max(MATCH_MM, lesion.long_axis_mm / 2) else None


def _row(patient: SimulatedPatient, found: Assessment) -> Row:
    """Keep the predictions of a patient beside the truth."""
    facts = patient.facts
    nearest = [_nearest(node, facts.lesions) for node in found.nodes]
    of_node = {each.label: each for each in nearest if each is not None and each.kind == "node"}
    return {
        "truth": str(facts.n_tnm9),
        "predicted": str(found.stage.category),
        "reason": found.stage.reason,
        "side_right": found.side is facts.primary_side,
        "nodes_of_truth": sum(lesion.kind == "node" for lesion in facts.lesions),
        "malignant_of_truth": sum(lesion.kind == "node" and lesion.malignant for lesion in facts.lesions),
        "malignant_found": sum(each.malignant for each in of_node.values()),
        "false_nodes": sum(each is None or each.kind != "node" for each in nearest),
        "nodes": [
            {"border_mm": each.border_mm, "right": each.station == str(node.station)}
            for node, each in zip(found.nodes, nearest, strict=True)
            if each is not None and each.kind == "node"
        ],
    }


def print_anatomy(rows: Sequence[Row]) -> None:
    """Print the figures with true anatomy."""
    nodes = [node for row in rows for node in row["nodes"]]
    away = [node for node in nodes if node["border_mm"] > AWAY_MM]
    print(f"\n{len(rows)} simulated patients; given: true organs, true outlines of lesions, true malignancy of nodes")
    print(f"exact N                                  {_share([row['truth'] == row['predicted'] for row in rows])}")
    print(f"side of the primary                      {_share([row['side_right'] for row in rows])}")
    print(f"station of nodes over {AWAY_MM:g} mm from borders   {_share([node['right'] for node in away])}")
    print(f"station of all nodes                     {_share([node['right'] for node in nodes])}")
    print(f"nodes that were taken for nodes          {len(nodes)} of {sum(row['nodes_of_truth'] for row in rows)}")
    print(f"others that were taken for nodes         {sum(row['false_nodes'] for row in rows)}")
    print(f"patients without a stage or a reason     {sum(not (row['predicted'] and row['reason']) for row in rows)}")


# --- end to end -------------------------------------------------------------------------------------------------------

VARIANTS = {
    "networks": "CT and PET (networks, probability of malignancy)",
    "networks, true malignancy": "  and the true malignancy of what was found",
    "true lesions": "  and true outlines of lesions (organs by network)",
    "true organs": "  and true organs (lesions by network)",
    "true organs and lesions": "  and true organs and outlines of lesions",
}


def _end_to_end(number: int, *, model: Path) -> Row:
    from lung_nodal_stage.inference import draw_lesions

    loaded = _model(model)
    patient = draw_patient(SEED, number)
    suv, _ = to_common_frame(patient.pet, patient.ct)
    start = time.perf_counter()
    by_network = remove_small_components(loaded.organs.segment(patient.ct))
    drawn = draw_lesions(patient.ct, suv, by_network, loaded)
    truth = true_organs(patient)
    certain = _true_malignancy(patient.facts.lesions)
    maps = {id(organs): stations_of(organs) for organs in (by_network, truth)}
    cases: dict[str, tuple[Organs, Image, Callable[[Lesion], float]]] = {
        "networks": (by_network, drawn, loaded.probability),
        "networks, true malignancy": (by_network, drawn, certain),
        "true lesions": (by_network, patient.lesions, loaded.probability),
        "true organs": (truth, drawn, loaded.probability),
        "true organs and lesions": (truth, patient.lesions, loaded.probability),
    }
    rows: Row = {
        name: _row(patient, predict_from_stations(suv, organs, maps[id(organs)], lesions, Information(), malignancy))
        for name, (organs, lesions, malignancy) in cases.items()
    }
    rows["seconds"] = time.perf_counter() - start
    rows["observer"] = str(_by_observer(patient.facts.lesions, patient).category)
    rows["reader"] = str(patient.facts.clinical_n)
    return rows


@functools.cache
def _model(folder: Path) -> Any:
    """Load the model once in each process, on one thread: the patients share the cores already."""
    import torch

    from lung_nodal_stage.inference import load_model
    from preop.grandchallenge.algorithm import read_algorithm

    torch.set_num_threads(1)
    return load_model(folder, read_algorithm(ALGORITHM))


def _by_observer(lesions: Sequence[SimulatedLesion], patient: SimulatedPatient) -> Any:
    """Stage as an observer does who knows the variables of every node and counts a probable metastasis as one."""
    positive = [Station.parse(each.station) for each in lesions if each.station and each.malignancy_oracle >= 0.5]
    return nodal_stage(positive, patient.facts.primary_side)


def print_end_to_end(rows: Sequence[Row]) -> None:
    """Print the figures of the shipped networks, and where mistakes come from."""
    truth = [row["networks"]["truth"] for row in rows]
    print(f"\n{len(rows)} simulated patients, by true malignancy " + ", ".join(f"{truth.count(s)} {s}" for s in STAGES))
    print(f"{'given':54}{'exact N':>22}{'weighted kappa':>24}")
    for name, words in VARIANTS.items():
        print(f"{words:54}{_agreement(truth, [row[name]['predicted'] for row in rows])}")
    print(
        f"{'an observer who knows the variables of each node':54}{_agreement(truth, [row['observer'] for row in rows])}"
    )
    print(f"{'the simulated reader (cN)':54}{_agreement(truth, [row['reader'] for row in rows])}")
    found = [row["networks"] for row in rows]
    nodes = [node for row in found for node in row["nodes"]]
    print(f"\nside of the primary, by networks         {_share([row['side_right'] for row in found])}")
    print(
        f"station of nodes found over {AWAY_MM:g} mm from borders {_share([n['right'] for n in nodes if n['border_mm'] > AWAY_MM])}"
    )
    malignant = sum(row["malignant_of_truth"] for row in found)
    print(f"malignant nodes found                    {sum(row['malignant_found'] for row in found)} of {malignant}")
    print(f"nodes found that are none                {sum(row['false_nodes'] for row in found)}")
    print(f"patients without a stage or a reason     {sum(not (row['predicted'] and row['reason']) for row in found)}")


def _agreement(truth: Sequence[str], predicted: Sequence[str]) -> str:
    """Write accuracy and kappa; NX is wrong, as the stage furthest from the truth."""
    counted = [_furthest(true) if one == N.NX else one for true, one in zip(truth, predicted, strict=True)]
    agreement = Agreement.of(truth, counted, STAGES)
    kappa = agreement.quadratic_weighted_kappa
    return f"{_written(agreement.accuracy):>22}{_written(kappa) if kappa else '':>24}"


def _furthest(true: str) -> str:
    return STAGES[-1] if 2 * STAGES.index(true) < len(STAGES) else STAGES[0]


def _share(right: Sequence[bool]) -> str:
    return f"{sum(right)} of {len(right)}: {_written(wilson(sum(right), len(right)))}" if right else "none"


def _written(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.lower:.3f}, {estimate.upper:.3f}]"


# --- time and memory --------------------------------------------------------------------------------------------------


def measure_time(folder: Path, model: Path) -> None:
    """Run one case of 256 x 256 x 300 voxels in a process of its own."""
    if not (folder / PET_FILE).is_file():
        patient = draw_patient(SEED, 0, centre=THIN)
        write_image(patient.ct, folder / CT_FILE)
        write_image(patient.pet, folder / PET_FILE)
    command = [sys.executable, __file__, "time", str(folder), "--model", str(model), "--part"]
    subprocess.run(command, check=True)


def _time_one(folder: Path, model: Path) -> None:
    steps: dict[str, tuple[float, float]] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.perf_counter(), time.process_time()
        yield
        steps[name] = time.perf_counter() - begun[0], time.process_time() - begun[1]

    with step("imports, networks"):
        from lung_nodal_stage import inference
        from preop.grandchallenge.algorithm import read_algorithm
        from preop.grandchallenge.cases import Case
        from preop.grandchallenge.outputs import write_outputs

        algorithm = read_algorithm(ALGORITHM)
        loaded = inference.load_model(model, algorithm)
    case = Case(algorithm, "case", {CT: folder / CT_FILE, PET: folder / PET_FILE}, {})
    with step("reading"):
        ct, pet = case.image(CT), case.image(PET)
    with step("PET on the grid of the CT"):
        suv, _ = to_common_frame(pet, ct)
    with step("organs"):
        labelled = loaded.organs.segment(ct)
    with step("organs, stray pieces"):
        organs = remove_small_components(labelled)
    with step("lesions"):
        drawn = inference.draw_lesions(ct, suv, organs, loaded)
    with step("stations, measures, stage"):
        found = predict_from_organs(suv, organs, drawn, Information(), loaded.probability)
    with step("likeness to the training patients"):
        likeness = loaded.training_patients.compare(scan_measures(ct, pet))
    with step("outputs"), tempfile.TemporaryDirectory() as output:
        write_outputs(inference.outputs_of(found, case, loaded, likeness), case, Path(output))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    size = " x ".join(map(str, reversed(ct.shape)))
    whole, processor = (sum(each[place] for each in steps.values()) for place in (0, 1))
    print(f"{size} voxels, {len(found.lesions.all)} lesions, peak memory {memory_mb:.0f} MB")
    once_more: dict[str, Callable[[], object]] = {
        "organs": lambda: loaded.organs.segment(ct),
        "lesions": lambda: inference.draw_lesions(ct, suv, organs, loaded),
    }
    for name, network in {"organs": loaded.organs.networks[0][0], "lesions": loaded.lesions}.items():
        number, tile = _tiles(network, ct, loaded.organs.step if name == "organs" else 0.5)
        with step(f"{name} once more"):
            once_more[name]()
        with step(f"bare forward pass, {name}, {number} tiles"):
            for _ in range(number):
                network.by_fold[0](tile)
    print(f"{'':44}{'seconds':>9}{'of a processor':>16}")
    print(f"{'all steps':44}{whole:9.1f}{processor:16.1f}")
    for name, (seconds, of_processor) in steps.items():
        print(f"  {name:42}{seconds:9.1f}{of_processor:16.1f}")
    for name in ("organs", "lesions"):
        (bare,) = (seconds for each, (seconds, _) in steps.items() if each.startswith(f"bare forward pass, {name}"))
        first, again = (steps[each][0] / bare for each in (name, f"{name} once more"))
        print(f"{name}: {first:.2f} times the bare forward pass, {again:.2f} when everything is loaded")


def _tiles(network: Any, ct: Image, step: float) -> tuple[int, Any]:
    """Give the number of tiles that a network lays over a CT, and one of random voxels."""
    recipe = network.recipe
    shape = np.rint(np.multiply(ct.shape, ct.spacing_mm) / recipe.spacing_mm).astype(int)
    number = count_tiles(shape, recipe.patch, step)
    rng = np.random.default_rng(0)
    return number, rng.standard_normal((1, len(network.channels), *recipe.patch), dtype=np.float32)


if __name__ == "__main__":
    main()
