"""Our radiomics beside MIRP's, on real tumours: ``python benchmarks/radiomics.py --data ../shared/data``.

Needs ``pip install mirp`` (EUPL-1.2) in the environment; it is no part of this project's locks. Every measurement has
a process of its own, so that its memory is its own. MIRP runs with its defaults, by which it estimates Moran's I and
Geary's C of large regions from samples; ours are over all pairs of voxels. Times include reading the files; beside each
stands the processor time of all threads, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.imaging import read_image
from preop.radiomics import Aggregation, Family, Settings, compute_features
from preop.radiomics.filters import LaplacianOfGaussian, SeparableWavelet

# What both compute: CT at 1 mm, intensities of soft tissue, bins of 25 HU, all three-dimensional features.
LOWER, UPPER, BIN_WIDTH = -200.0, 300.0, 25.0
AGGREGATIONS = (Aggregation.VOLUME_AVERAGED, Aggregation.VOLUME_MERGED)
SETTINGS = Settings(lower=LOWER, upper=UPPER, aggregations=AGGREGATIONS)
WAVELETS = tuple(SeparableWavelet(passes="".join(passes)) for passes in itertools.product("LH", repeat=3))
FILTERS = (*(LaplacianOfGaussian(sigma_mm=sigma) for sigma in (1.0, 2.0, 3.0)), *WAVELETS)
WITHOUT_AUTOCORRELATION = frozenset(Family) - {Family.DIAGNOSTICS, Family.MORPHOLOGY}

TUMOURS = ("STS_002", "STS_026", "STS_020")
"""A small, a common and the largest tumour of the public cohort (17,090, 118,353 and 748,026 voxels of CT)."""


@dataclass(frozen=True)
class Measurement:
    """Runs of one case in a process of its own."""

    features: int
    seconds: float
    processor_s: float
    memory_mb: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.processor_s:.2f} s)"


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds sarcoma/")
    parser.add_argument("--without-mirp", action="store_true", help="measure ours alone")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    _print_tumours(arguments.data, with_mirp=not arguments.without_mirp)
    _print_targets(arguments.data)
    _print_start()


def _print_tumours(data: Path, *, with_mirp: bool) -> None:
    """Table of tumours, MIRP's second run beside the median of our second to fourth."""
    print(
        "| tumour | voxels at 1 mm | ours (processor) | MIRP (processor) | times as fast | memory ours | memory MIRP |"
    )
    print("|---|---|---|---|---|---|---|")
    for patient in TUMOURS:
        image, mask = _files(data, patient)
        voxels = compute_features(read_image(image), read_image(mask), SETTINGS, {Family.MORPHOLOGY})
        ours = _in_process(_ours, image, mask, SETTINGS, None)
        theirs = _in_process(_mirp, image, mask) if with_mirp else None
        columns = [
            patient,
            f"{voxels['morph_vol_approx']:,.0f}",
            f"{ours}, {ours.features} features",
            f"{theirs}, {theirs.features} features" if theirs else "",
            f"{theirs.seconds / ours.seconds:.0f} ({theirs.processor_s / ours.processor_s:.0f})" if theirs else "",
            f"{ours.memory_mb:,.0f} MB",
            f"{theirs.memory_mb:,.0f} MB" if theirs else "",
        ]
        print("| " + " | ".join(columns) + " |", flush=True)


def _print_targets(data: Path) -> None:
    """Table of what is computed of one tumour of 120,000 voxels: the common one, cut down to its core."""
    print("\n| computed of 120,000 voxels at 1 mm | features | time (processor) | memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        image, mask = _of_120000_voxels(data, Path(folder))
        with_filters = SETTINGS.model_copy(update={"filters": FILTERS})
        for name, settings, families in (
            ("all families", SETTINGS, None),
            ("all but morphology", SETTINGS, WITHOUT_AUTOCORRELATION),
            ("all families, 3 Laplacians of Gaussian, 8 wavelets", with_filters, None),
        ):
            found = _in_process(_ours, image, mask, settings, families)
            print(f"| {name} | {found.features} | {found} | {found.memory_mb:,.0f} MB |", flush=True)


def _print_start() -> None:
    """Table of the first case after a start, with and without compiled code on disk."""
    print("\n| a small case in a new process | first | second |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as cache:
        for name in ("nothing compiled before", "after `python -m preop.radiomics.warm_up`"):
            # A cache folder of its own, so that the one beside the source stays as it is.
            said = subprocess.run(
                [sys.executable, "-c", _START],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            first, second = map(float, said.split())
            print(f"| {name} | {first:.2f} s | {second:.2f} s |", flush=True)


_START = "from preop.radiomics.warm_up import warm_up; print(warm_up(), warm_up())"


def _files(data: Path, patient: str) -> tuple[Path, Path]:
    folder = data / "sarcoma" / patient
    return folder / "CT_image.nii.gz", folder / "CT_mask.nii.gz"


def _of_120000_voxels(data: Path, folder: Path) -> tuple[Path, Path]:
    """Resample the common tumour to 1 mm and keep its 120,000 deepest voxels."""
    import numpy as np

    from preop.imaging import Image, resample, write_image
    from preop.radiomics.regions import depths_mm

    image, mask = (read_image(file) for file in _files(data, "STS_026"))
    image = resample(image, (1.0, 1.0, 1.0), interpolation="linear")
    mask = resample(mask, (1.0, 1.0, 1.0), interpolation="nearest")
    depth = depths_mm(mask.voxels > 0, mask.spacing_mm).ravel()
    deepest = np.zeros(depth.size, dtype=np.uint8)
    deepest[np.argsort(-depth, kind="stable")[:120_000]] = 1
    write_image(image, folder / "image.nii.gz")
    write_image(Image(deepest.reshape(mask.shape), mask.geometry), folder / "mask.nii.gz")
    return folder / "image.nii.gz", folder / "mask.nii.gz"


def _in_process(measure: Callable[..., Measurement], *arguments: Any) -> Measurement:
    """Call in a process that is started for it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def _ours(image: Path, mask: Path, settings: Settings, families: frozenset[Family] | None) -> Measurement:
    return _measured(lambda: compute_features(read_image(image), read_image(mask), settings, families), runs=4)


def _mirp(image: Path, mask: Path) -> Measurement:
    from mirp import extract_features

    logging.disable()
    spatial = ["3d_average", "3d_volume_merge"]

    def extract() -> Mapping[str, float]:
        table = extract_features(
            image=str(image),
            mask=str(mask),
            image_modality="CT",
            new_spacing=1.0,
            anti_aliasing=False,
            resegmentation_method="threshold",
            resegmentation_intensity_range=[LOWER, UPPER],
            base_discretisation_method="fixed_bin_size",
            base_discretisation_bin_width=BIN_WIDTH,
            base_feature_families="all",
            glcm_spatial_method=spatial,
            glrlm_spatial_method=spatial,
        )[0]
        return {str(name): 0.0 for name in table.columns if str(name).split("_")[0] in _FAMILY_TAGS}

    return _measured(extract, runs=2)


_FAMILY_TAGS = {"morph", "loc", "stat", "ivh", "ih", "cm", "rlm", "szm", "dzm", "ngt", "ngl"}


def _measured(compute: Callable[[], Mapping[str, float]], *, runs: int) -> Measurement:
    """Time the median of the runs after the first, which imports and loads what it needs."""
    times, features = [], 0
    for _ in range(runs):
        start, processor_start = time.perf_counter(), time.process_time()
        features = len(compute())
        times.append((time.perf_counter() - start, time.process_time() - processor_start))
    later = sorted(times[1:])
    return Measurement(features, *later[len(later) // 2], memory_mb=_peak_memory_mb())


def _peak_memory_mb() -> float:
    """Most memory that this process held; unlike ``getrusage`` without what its parent held before."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
