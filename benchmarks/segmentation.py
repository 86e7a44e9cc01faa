"""Our segmentation beside the stock programs, on the same weights and scans: ``python benchmarks/segmentation.py``.

Networks and scans are random and made here: times do not depend on what a network has learned. Every measurement has a
process of its own; its time includes starting it, as one case in a container does, and is given without the start, too.
Beside each stands the processor time of the process and its workers, which other work on the machine changes little, and
the memory of its largest process. Ours runs both forms of the networks: the portable one, which is what runs without a GPU, and
torch's. The last row of each runs the bare network once over the tiles, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

TRAINER_OF_TOTAL = "nnUNetTrainer_4000epochs_NoMirroring"
FEATURES = (8, 16, 32, 64)
PATCH = (64, 64, 64)
NO_AIR_HU = -100
LAYING_OUT = "laying out"
PORTABLE = "portable_"
"""Before the name of a folder: the same networks, in their portable form too."""
COMPARED = (
    ("theirs.nii.gz", "portable.nii.gz"),
    ("theirs.nii.gz", "ours.nii.gz"),
    ("theirs_total.nii.gz", "portable_total.nii.gz"),
    ("theirs_total.nii.gz", "ours_total.nii.gz"),
)


@dataclass(frozen=True)
class Measurement:
    """One run in a process of its own."""

    name: str
    seconds: float
    without_start_s: float
    processor_s: float
    memory_mb: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", help="rows whose name holds one of these words")
    parser.add_argument("--small", action="store_true", help="scans of an eighth of the size")
    arguments = parser.parse_args()
    if arguments.part == LAYING_OUT:
        _lay_out(arguments.folder, small=arguments.small)
        return
    if arguments.part:
        PARTS[arguments.part](arguments.folder)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # In another process: what this one has used at most would be taken for that of those that it starts.
        size = ["--small"] if arguments.small else []
        laying_out = [sys.executable, __file__, "--part", LAYING_OUT, "--folder", str(folder), *size]
        subprocess.run(laying_out, env=_environment(folder), check=True)
        chosen = [part for part in PARTS if not arguments.only or any(word in part for word in arguments.only)]
        measured = [_measure(part, folder) for part in chosen]
        for each in measured:
            print(
                f"{each.name:32} {each.seconds:7.1f} s  {each.without_start_s:7.1f} s without start  "
                f"{each.processor_s:7.1f} s of processors  {each.memory_mb:7.0f} MB"
            )
        for theirs, ours in COMPARED:
            if (folder / ours).is_file() and (folder / theirs).is_file():
                print(f"{ours} against {theirs}: {_differing(folder, ours, theirs)}")


def _lay_out(folder: Path, *, small: bool) -> None:
    """Write networks and scans."""
    from totalsegmentator.map_to_binary import class_map

    from preop.imaging import write_image
    from preop.segmentation.portable_network import write_portable
    from tests.segmentation.networks import dataset_of, make_network, plans_of, scan_of

    scale = 2 if small else 1
    common: dict[str, Any] = {"patch": PATCH, "features": FEATURES}
    make_network(folder / "network", plans_of(spacing=(2, 2, 2), **common), dataset_of())
    place = f"Dataset297_TotalSegmentator_total_3mm_1559subj/{TRAINER_OF_TOTAL}__nnUNetPlans__3d_fullres"
    make_network(
        folder / "weights" / place,
        plans_of(spacing=(3, 3, 3), **common),
        dataset_of(list(class_map["total"].values())),
        trainer=TRAINER_OF_TOTAL,
    )
    for name, inside in (("network", "."), ("weights", place)):
        shutil.copytree(folder / name, folder / f"{PORTABLE}{name}")
        write_portable(folder / f"{PORTABLE}{name}" / inside)
    for name, shape, spacing in (("scan", (160, 320, 320), (2.0, 0.9, 0.9)), ("ct", (224, 303, 366), (1.5, 1.0, 1.0))):
        small_shape = (shape[0] // scale, shape[1] // scale, shape[2] // scale)
        scan = scan_of(small_shape, spacing)
        if name == "ct":  # all of it body, outside of which ours labels nothing
            scan = scan.with_voxels(np.maximum(scan.voxels, NO_AIR_HU))
        write_image(scan, folder / name / "scan_0000.nii.gz")
    (folder / "home").mkdir()
    (folder / "home" / "config.json").write_text(
        json.dumps({"totalseg_id": "totalseg_BENCHMRK", "send_usage_stats": False, "prediction_counter": 0})
    )


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "shared" / "src"), str(ROOT))),
        "TOTALSEG_WEIGHTS_PATH": str(folder / "weights"),
        "TOTALSEG_HOME_DIR": str(folder / "home"),
    }


def _measure(part: str, folder: Path) -> Measurement:
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--part", part, "--folder", str(folder)],
        env=_environment(folder),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101  (for the types: it was asked for)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{part} failed: {output}")
    inside = float(output.strip().splitlines()[-1].removeprefix("seconds "))
    seconds = time.perf_counter() - start
    return Measurement(part, seconds, inside, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _ours(folder: Path, network_folder: str = "network", name: str = "ours.nii.gz") -> None:
    from preop.imaging import read_image, write_image
    from preop.segmentation import load_network

    network = load_network(folder / network_folder, device="cpu")
    start = time.perf_counter()
    write_image(network.segment(read_image(folder / "scan" / "scan_0000.nii.gz")), folder / name)
    print(f"seconds {time.perf_counter() - start}")


def _theirs(folder: Path) -> None:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder / "network"), (0,))
    start = time.perf_counter()
    predictor.predict_from_files(
        str(folder / "scan"),
        str(folder / "out"),
        num_processes_preprocessing=1,
        num_processes_segmentation_export=1,
    )
    (folder / "out" / "scan.nii.gz").replace(folder / "theirs.nii.gz")
    print(f"seconds {time.perf_counter() - start}")


def _ours_total(folder: Path, weights: str = "weights", name: str = "ours_total.nii.gz") -> None:
    from totalsegmentator.map_to_binary import class_map

    from preop.imaging import read_image, write_image
    from preop.segmentation import load_organ_networks

    networks = load_organ_networks(folder / weights, list(class_map["total"].values()), device="cpu")
    start = time.perf_counter()
    organs = networks.segment(read_image(folder / "ct" / "scan_0000.nii.gz"))
    write_image(organs.labels, folder / name)
    print(f"seconds {time.perf_counter() - start}")


def _theirs_total(folder: Path) -> None:
    from totalsegmentator.python_api import totalsegmentator

    start = time.perf_counter()
    totalsegmentator(
        folder / "ct" / "scan_0000.nii.gz", folder / "theirs_total.nii.gz", ml=True, fast=True, device="cpu", quiet=True
    )
    print(f"seconds {time.perf_counter() - start}")


def _bare(folder: Path, scan: str = "scan", network: str = "network", step: float = 0.5) -> None:
    """Run the network once over as many tiles as the scan has."""
    import torch

    from preop.imaging import read_geometry
    from preop.segmentation.tiles import count_tiles
    from preop.segmentation.torch_network import load_torch_network

    loaded = load_torch_network(next((folder / network).rglob("plans.json")).parent, None, "cpu", None)
    geometry = read_geometry(folder / scan / "scan_0000.nii.gz")
    spacing = loaded.configuration.spacing
    shape: Sequence[int] = np.rint(np.multiply(geometry.shape, geometry.spacing_mm) / spacing).astype(int)
    tile = torch.randn(1, 1, *PATCH)
    start = time.perf_counter()
    with torch.inference_mode():
        for _ in range(count_tiles(shape, PATCH, step)):
            loaded.module(tile)
    print(f"seconds {time.perf_counter() - start}")


def _bare_portable(folder: Path, scan: str = "scan", network: str = "network", step: float = 0.5) -> None:
    """Run its portable form once over as many tiles."""
    from preop.imaging import read_geometry
    from preop.portable import read_portable
    from preop.segmentation.portable_network import PORTABLE_FILE, Recipe
    from preop.segmentation.tiles import count_tiles

    loaded = read_portable(next((folder / f"{PORTABLE}{network}").rglob(PORTABLE_FILE)))
    geometry = read_geometry(folder / scan / "scan_0000.nii.gz")
    spacing = Recipe.model_validate(loaded.facts).spacing_mm
    shape: Sequence[int] = np.rint(np.multiply(geometry.shape, geometry.spacing_mm) / spacing).astype(int)
    tile = np.random.default_rng(0).standard_normal((1, 1, *PATCH), dtype=np.float32)
    start = time.perf_counter()
    for _ in range(count_tiles(shape, PATCH, step)):
        loaded(tile)
    print(f"seconds {time.perf_counter() - start}")


def _differing(folder: Path, ours: str, theirs: str) -> str:
    from preop.imaging import read_image

    one, other = (read_image(folder / name).voxels for name in (ours, theirs))
    return f"{int((one != other).sum())} of {one.size} voxels differ"


PARTS = {
    "nnU-Net, command line's way": _theirs,
    "nnU-Net, ours": lambda folder: _ours(folder, PORTABLE + "network", "portable.nii.gz"),
    "nnU-Net, ours by torch": _ours,
    "its network alone": _bare_portable,
    "its network alone, by torch": _bare,
    "TotalSegmentator, its API": _theirs_total,
    "TotalSegmentator, ours": lambda folder: _ours_total(folder, PORTABLE + "weights", "portable_total.nii.gz"),
    "TotalSegmentator, ours by torch": _ours_total,
    "its network alone, 118 outputs": lambda folder: _bare_portable(folder, "ct", "weights", 0.8),
    "the same by torch": lambda folder: _bare(folder, "ct", "weights", 0.8),
}


if __name__ == "__main__":
    main()
