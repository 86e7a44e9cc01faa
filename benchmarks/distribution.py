"""How like the training patients others are, for each study: ``python benchmarks/distribution.py FOLDER --data DATA``.

The training patients of the shipped models are drawn again from their seed (those of the sarcoma study are the public
ones), and measured; the file ``training-distribution.json`` of the shipped model is written anew with ``--write``, which no
training is needed for. Then held-out patients, drawn from another seed, and real scans and slides (docs/data.md) are measured
and compared: how many are called unlike the training patients, and the AUC of their distance. For the sarcoma study it is the
other way round: its training patients are real, each is held out in turn, and the simulated ones are foreign.

On real scans there are no outlines of what the studies assess. Where one is needed to measure anything, it is made up and
says nothing of the patient: for the bladder study small soft tissue surrounded by fat, for the liver study a ball in the
largest bright organ. Finished patients are kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preop.cohort import Patient, map_patients, read_cohort, write_source
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.imaging import Image, read_image
from preop.likeness import Reference, known, references_file
from preop.likeness.slides import slide_measures
from preop.slides import Slide, assessable, find_tissue, write_slide
from preop.statistics import Estimate, auc, auc_delong, wilson
from preop.study import make_importable, put_into_model, simulation_of

ALGORITHMS = Path(__file__).parents[1] / "algorithms"
SARCOMA = "sarcoma_lung_metastasis"
HELD_OUT_SEED = 1001
Row = dict[str, float]


@dataclass(frozen=True)
class Training:
    """How the training patients of a shipped model are drawn again: the seed, and whether they are small ones."""

    seed: int
    small: bool = False


TRAINING = {
    "bladder_lymph_nodes": Training(1),
    "liver_growth_pattern": Training(1),
    "lung_nodal_stage": Training(1),
    "primary_growth_pattern": Training(7, small=True),
}


def main() -> None:
    """Measure, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; about 20 MB a patient")
    parser.add_argument("--data", type=Path, required=True, help="public data: docs/data.md")
    parser.add_argument("--study", choices=[*TRAINING, SARCOMA], action="append", help="one or more; all by default")
    parser.add_argument("--patients", type=int, default=60, help="of the training that are measured")
    parser.add_argument("--held-out", type=int, default=40, help="that are simulated for comparison")
    parser.add_argument("--write", action="store_true", help="put the measures into the shipped model")
    arguments = parser.parse_args()
    for name in arguments.study or [*TRAINING, SARCOMA]:
        algorithm = read_algorithm(ALGORITHMS / name)
        make_importable(algorithm.folder)
        folder = arguments.folder / name
        if name == SARCOMA:
            trained = _public_sarcomas(algorithm, arguments.data, folder)
        else:
            trained = _simulated(algorithm, TRAINING[name], arguments.patients, folder)
        references = _likeness_of(algorithm).references_of(trained)
        if arguments.write:
            put_into_model(algorithm.folder / "model", algorithm, references_file(references))
        held_out = _simulated(algorithm, Training(HELD_OUT_SEED, small=_is_small(name)), arguments.held_out, folder)
        if name == SARCOMA:
            _print_sarcomas(algorithm, trained, held_out, references)
        else:
            (reference,) = references.values()
            real = REAL[name](arguments.data, folder)
            _print(name, reference, [_ratio(reference, row) for row in held_out], real)


def _print(name: str, reference: Reference, usual: Sequence[float], foreign: Mapping[str, Row]) -> None:
    """Print how far patients like those of the training and others are, by the limit."""
    others = [_ratio(reference, row) for row in foreign.values()]
    print(
        f"{name}: {reference.patients} training patients, {len(reference.measures)} measures, limit {reference.limit:.2f}"
    )
    print(f"  called unlike: {_count(usual)} like those of the training, {_count(others)} others")
    print(f"  AUC of the distance: {_auc(usual, others)}")
    for each, ratio in sorted(zip(foreign, others, strict=True), key=lambda pair: pair[1])[:5]:
        print(f"  nearest others: {each}, {ratio:.1f} times the limit")


def _print_sarcomas(
    algorithm: Algorithm, trained: Sequence[Row], simulated: Sequence[Row], references: Mapping[str, Reference]
) -> None:
    """Print the same for each combination of scans; each real patient is compared with all others."""
    without = [_likeness_of(algorithm).references_of([*trained[:n], *trained[n + 1 :]]) for n in range(len(trained))]
    for key, reference in references.items():
        has = {f"{label.split()[0].lower()}_pixel_mm" for label in key.split(" + ")}
        usual = [_ratio(without[n][key], row) for n, row in enumerate(trained) if has <= row.keys()]
        foreign = {str(number): row for number, row in enumerate(simulated) if has <= row.keys()}
        _print(f"{algorithm.name}, {key}", reference, usual, foreign)


def _ratio(reference: Reference, row: Row) -> float:
    return reference.compare(row).distance / reference.limit


def _count(ratios: Sequence[float]) -> str:
    return f"{sum(ratio > 1 for ratio in ratios)} of {_estimate(wilson(sum(r > 1 for r in ratios), len(ratios)), len(ratios))}"


def _auc(usual: Sequence[float], others: Sequence[float]) -> str:
    """AUC with its interval; where nothing overlaps, that of as many right pairs as there are disjoint ones."""
    labels, scores = [0] * len(usual) + [1] * len(others), [*usual, *others]
    pairs = min(len(usual), len(others))
    estimate = wilson(pairs, pairs) if auc(labels, scores) == 1 else auc_delong(labels, scores)
    return f"{estimate.value:.3f} [{estimate.lower:.2f}, {estimate.upper:.2f}]"


def _estimate(estimate: Estimate, number: int) -> str:
    return f"{number} ({estimate.value:.2f} [{estimate.lower:.2f}, {estimate.upper:.2f}])"


# --- patients ---------------------------------------------------------------------------------------------------------


def _simulated(algorithm: Algorithm, drawn: Training, patients: int, folder: Path) -> list[Row]:
    cohort = folder / f"seed_{drawn.seed}"
    simulation_of(algorithm).simulate(patients, drawn.seed, cohort, lambda *_: None, small=drawn.small)
    return _measured(algorithm, cohort / "cohort.csv", folder / f"measures_{drawn.seed}")


def _is_small(name: str) -> bool:
    return name in TRAINING and TRAINING[name].small


def _public_sarcomas(algorithm: Algorithm, data: Path, folder: Path) -> list[Row]:
    public = importlib.import_module(f"{SARCOMA}.public_cohort")
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "cohort.csv"
    public.make_table(data / "sarcoma").to_csv(table, index=False)
    write_source(public.SOURCE, table)
    return _measured(algorithm, table, folder / "measures")


def _measured(algorithm: Algorithm, table: Path, folder: Path) -> list[Row]:
    """Measure the patients of a cohort as the training does."""
    patients = read_cohort(table, algorithm).patients
    folder.mkdir(parents=True, exist_ok=True)
    task = functools.partial(_measure, algorithm=algorithm.folder, folder=folder)
    for patient, error in map_patients(task, patients, description=f"Measuring {folder.name}"):
        if error is not None:
            raise RuntimeError(f"{patient.name}: {error}") from error
    return [json.loads((folder / f"{patient.name}.json").read_text()) for patient in patients]


def _measure(patient: Patient, *, algorithm: Path, folder: Path) -> None:
    path = folder / f"{patient.name}.json"
    if not path.is_file():
        row = known(_likeness_of(read_algorithm(algorithm)).measures_of_case(patient.case))
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(row))
        partial.replace(path)


def _likeness_of(algorithm: Algorithm) -> Any:
    make_importable(algorithm.folder)
    return importlib.import_module(f"{algorithm.name}.likeness")


# --- real scans and slides --------------------------------------------------------------------------------------------

CHESTS = (
    "real/ct/lidc_idri_0001",
    "real/ct/cmb_crc_msb_01068",
    "real/ct/midrc_ricord_1a_001012",
    "real/ct/lung_pet_ct_dx_a0001_soft_kernelB",
    "real/ct/lung_pet_ct_dx_a0001_lung_kernelL",
)
ABDOMENS = ("real/ct/cptac_pda_c3l_00189_upper_abdomen", "anatomy/abdomen_ct_3mm", "liver/crlm_ct_1004")
NODE_ML = (0.03, 2.0)
LUMP_VOXELS, LUMP_FILL = 20, 0.4
"""Voxels of a lump, and the share of its box that it fills: a ball fills about half, a sheet or a strand less."""
BALL_MM = 10.0


def real_chests(data: Path, _: Path) -> dict[str, Row]:
    """Measure real CTs of the chest; they have no PET, of which nothing is known then."""
    from lung_nodal_stage.likeness import scan_measures

    return {name: scan_measures(_ct(data, name)) for name in CHESTS}


def real_pelves(data: Path, _: Path) -> dict[str, Row]:
    """Measure real CTs of pelvis, thigh and abdomen, with small soft tissue in fat in the place of nodes."""
    from bladder_lymph_nodes.likeness import scan_measures
    from bladder_lymph_nodes.lymph_nodes import find_lymph_nodes

    limbs = sorted(path.relative_to(data) for path in (data / "sarcoma").glob("*/CT_image.nii.gz"))
    found = {}
    for name in [*ABDOMENS, *(str(path).removesuffix(".nii.gz") for path in limbs)]:
        ct = _ct(data, name)
        islands = islands_in_fat(ct)
        if islands.voxels.any():
            found[name] = scan_measures(ct, find_lymph_nodes(ct, islands))
    return found


def real_livers(data: Path, _: Path) -> dict[str, Row]:
    """Measure real CTs of the liver around a ball in it."""
    from liver_growth_pattern.lesions import find_lesions
    from liver_growth_pattern.likeness import scan_measures

    scans = {name: _ct(data, name) for name in ABDOMENS}
    return {name: scan_measures(ct, find_lesions(ct, ball_in_the_largest_organ(ct))) for name, ct in scans.items()}


def real_slides(data: Path, folder: Path) -> dict[str, Row]:
    """Measure a real slide, and fields of colorectal cancer of two other laboratories, written as slides."""
    found = {}
    for name, path in _slides(data, folder):
        with Slide(path) as slide:
            tissue = assessable(find_tissue(slide))
            if tissue.voxels.any():
                found[name] = slide_measures(slide, tissue)
    return found


def islands_in_fat(ct: Image) -> Image:
    """Label up to 30 lumps of soft tissue, as large as lymph nodes, that fat surrounds."""
    from scipy import ndimage

    smooth = ndimage.median_filter(ct.voxels, 3)
    soft = (smooth > 0) & (smooth < 200)
    labels, count = ndimage.label(soft)
    volumes = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(ct.spacing_mm)) / 1000
    chosen = np.flatnonzero((volumes >= NODE_ML[0]) & (volumes <= NODE_ML[1]))
    boxes = ndimage.find_objects(labels)
    kept = [
        number for number in chosen.tolist() if number and _is_a_lump_in_fat(labels, number, boxes[number - 1], smooth)
    ][:30]
    return ct.with_voxels(np.where(np.isin(labels, kept), labels, 0).astype(np.int32))


def _is_a_lump_in_fat(
    labels: np.ndarray[Any, Any], number: int, box: tuple[slice, ...], smooth: np.ndarray[Any, Any]
) -> bool:
    from scipy import ndimage

    own = labels[box] == number
    if own.sum() < LUMP_VOXELS or own.mean() < LUMP_FILL:
        return False
    wider = tuple(slice(max(each.start - 2, 0), each.stop + 2) for each in box)
    around = ndimage.binary_dilation(labels[wider] == number, iterations=2) & (labels[wider] == 0)
    return bool(around.any()) and -130 < float(np.median(smooth[wider][around])) < -20


def ball_in_the_largest_organ(ct: Image) -> Image:
    """Put a ball where the bright soft tissue is thickest: in the liver, on a scan of the upper abdomen."""
    from scipy import ndimage

    smooth = ndimage.uniform_filter(ct.voxels.astype(np.float32), 5)
    depth = ndimage.distance_transform_edt((smooth > 50) & (smooth < 180), ct.spacing_mm)
    deepest = np.unravel_index(int(depth.argmax()), ct.shape)
    places = np.indices(ct.shape).reshape(3, -1).T
    offsets = (places - np.array(deepest)) * np.array(ct.spacing_mm)
    inside = (offsets**2).sum(axis=1) <= BALL_MM**2
    return ct.with_voxels(inside.reshape(ct.shape).astype(np.uint8))


def _slides(data: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    from PIL import Image as PillowImage

    yield "cmu_1_small_region", data / "slides" / "cmu_1_small_region.svs"
    histology = data / "real" / "histology"
    pictures = [(path, 0.62) for path in sorted((histology / "glas").glob("*.jpg"))]
    pictures += [(path, 0.55) for path in sorted((histology / "crc_nuclei").glob("*.jpg"))]
    for path, um_per_pixel in pictures:
        written = folder / "real" / f"{path.stem}.tif"
        if not written.is_file():
            pixels = np.array(PillowImage.open(path).convert("RGB"))
            write_slide([pixels], pixels.shape[:2], um_per_pixel, written)
        yield f"{path.parent.name}/{path.stem}", written


def _ct(data: Path, name: str) -> Image:
    return read_image(data / f"{name}.nii.gz")


REAL: Mapping[str, Callable[[Path, Path], dict[str, Row]]] = {
    "bladder_lymph_nodes": real_pelves,
    "liver_growth_pattern": real_livers,
    "lung_nodal_stage": real_chests,
    "primary_growth_pattern": real_slides,
}


if __name__ == "__main__":
    main()
