"""Cost as work grows: ``python benchmarks/scale.py --data ../shared/data --plot scale.png``.

Each point of a curve is measured in a process of its own: processor seconds of the work with all programs that it starts,
without what is loaded and compiled before, and the memory of the largest of them. A line through the logarithms gives the
exponent of a curve: 1 where twice the work costs twice as much. Small work costs less than its start; so the exponent
between the two largest sizes stands beside it.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
TILE_PX = 256
FEATURES = 64


@dataclass(frozen=True)
class Curve:
    """One kind of work.

    Attributes
    ----------
    unit
        What its sizes count.
    work
        Prepares work of a size, and gives the function that does it and tells how large it came out.
    """

    unit: str
    sizes: tuple[int, ...]
    work: Callable[[int, Path, Path], Callable[[], int]]


@dataclass(frozen=True)
class Point:
    """Work of one size."""

    size: int
    seconds: float
    memory_mb: float


def main() -> None:
    """Measure, print a table of each curve and one of exponents, and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds slides/, anatomy/")
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES), help="curves to measure")
    parser.add_argument("--plot", type=Path, help="picture of all curves (PNG)")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        measure(options.point[0], int(options.point[1]), options.data)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    found = {}
    for name in options.only:
        print(f"| {CURVES[name].unit} | processor seconds | for each thousand | memory, MB |\n|---|---|---|---|")
        found[name] = []
        for size in CURVES[name].sizes:
            each = in_a_process(name, size, options.data)
            found[name].append(each)
            per_thousand = 1000 * each.seconds / each.size
            print(f"| {each.size:,} | {each.seconds:.2f} | {per_thousand:.3g} | {each.memory_mb:,.0f} |", flush=True)
        print()
    print("| curve | sizes | exponent | between the two largest |\n|---|---|---|---|")
    for name, points in found.items():
        span = f"{points[0].size:,} to {points[-1].size:,} {CURVES[name].unit}"
        print(f"| {name} | {span} | {exponent(points):.2f} | {exponent(points[-2:]):.2f} |")
    if options.plot:
        plot(found, options.plot)


def exponent(points: list[Point]) -> float:
    """Slope of the line through the logarithms of size and seconds."""
    size, seconds = np.log([each.size for each in points]), np.log([each.seconds for each in points])
    return float(np.polyfit(size, seconds, 1)[0])


def plot(found: dict[str, list[Point]], path: Path) -> None:
    """Draw each curve with both axes logarithmic, and its exponent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(2, 3).flat, found.items(), strict=False):
        axes.loglog([each.size for each in points], [each.seconds for each in points], "o-", color="#1f5f8b")
        axes.set(title=f"{name}: exponent {exponent(points):.2f}", xlabel=CURVES[name].unit, ylabel="processor seconds")
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.savefig(path, dpi=110)


def in_a_process(name: str, size: int, data: Path) -> Point:
    """Measure one point apart from all others."""
    command = [sys.executable, __file__, "--point", name, str(size), "--data", str(data)]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    done, seconds, memory_mb = run.stdout.split()[-3:]
    return Point(int(done), float(seconds), float(memory_mb))


def measure(name: str, size: int, data: Path) -> None:
    """Do the work of one point and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        work = CURVES[name].work(size, Path(folder), data)
        before = processor_seconds()
        done = work()
        seconds = processor_seconds() - before
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(done, seconds, max(used) / 1024)


def processor_seconds() -> float:
    """Time that this process and those that ended under it have taken, whatever else ran meanwhile."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def radiomics(size: int, _folder: Path, _data: Path) -> Callable[[], int]:
    """All features of a ball of so many voxels of 1 mm in texture, on one thread."""
    from preop.imaging import Geometry, Image
    from preop.radiomics import Settings, compute_features
    from preop.simulation import correlated_noise

    settings = Settings(lower=-200.0, upper=300.0)

    def ball(voxels: int) -> tuple[Image, Image]:
        radius = (3 * voxels / (4 * np.pi)) ** (1 / 3)
        reach = int(radius) + 6
        z, y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]
        inside = (z**2 + y**2 + x**2 <= radius**2).astype(np.uint8)
        grid = Geometry.axis_aligned(inside.shape, (1.0, 1.0, 1.0))
        texture = 40 + 60 * correlated_noise(np.random.default_rng(0), inside.shape, (1.0,) * 3, (4.0,) * 3)
        return Image(texture.astype(np.float32), grid), Image(inside, grid)

    compute_features(*ball(500), settings, threads=1)  # compiles
    image, mask = ball(size)

    def work() -> int:
        compute_features(image, mask, settings, threads=1)
        return int(mask.voxels.sum())

    return work


def stations(size: int, _folder: Path, data: Path) -> Callable[[], int]:
    """The map of the stations of a real person, whose labels are resampled to about so many voxels."""
    from preop.anatomy import Organs, map_stations
    from preop.imaging import read_image, resample

    labels = read_image(data / "anatomy" / "thorax_totalsegmentator_labels.nii.gz")
    factor = (labels.voxels.size / size) ** (1 / 3)
    z, y, x = (spacing * factor for spacing in labels.spacing_mm)
    labels = resample(labels, (z, y, x), interpolation="nearest")

    def work() -> int:
        map_stations(Organs(labels))
        return int(labels.voxels.size)

    return work


def slides(size: int, folder: Path, data: Path) -> Callable[[], int]:
    """All tiles of 256 pixels of a slide of so many, on one thread."""
    from slides import mirrored

    from preop.slides import Slide

    path = mirrored(data, folder / "slide.tif", TILE_PX * round(size**0.5))

    def work() -> int:
        with Slide(path) as slide:
            tiling = slide.tiling(size_px=TILE_PX, um_per_pixel=slide.um_per_pixel)
            return sum(1 for _ in slide.tiles(tiling, threads=0))

    return work


def evaluation(size: int, folder: Path, _data: Path) -> Callable[[], int]:
    """The evaluation's program on so many cases, with 2,000 resamples."""
    from many_cases import evaluate, write_submission

    write_submission(folder, size, of_a_patient=1)

    def work() -> int:
        evaluate(folder)
        return size

    return work


def cohort(size: int, folder: Path, _data: Path) -> Callable[[], int]:
    """``preop predict`` on so many patients with a CT of the sarcoma study, one process that serves them all."""
    from preop.imaging import read_image, write_image

    case = ROOT / "algorithms" / "sarcoma_lung_metastasis" / "test" / "ct" / "input" / "images"
    scan, random = read_image(case / "ct" / "ct.mha"), np.random.default_rng(0)
    rows = []
    for number in range(size):  # of noise of their own: the same image under several patients is refused
        noisy = np.rint(scan.voxels + random.normal(0, 5, scan.shape)).astype(np.int16)
        path = folder / f"{number}.mha"
        write_image(scan.with_voxels(noisy), path)
        rows.append((f"patient-{number}", path, case / "ct-tumour-segmentation" / "ct.mha"))
    with (folder / "cohort.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("patient", "ct-image", "ct-tumour-segmentation"), *rows])
    command = [str(Path(sys.executable).parent / "preop"), "predict", "sarcoma_lung_metastasis", "--engine", "process"]

    def work() -> int:
        subprocess.run(
            [*command, "--cohort", str(folder / "cohort.csv"), "--output", str(folder / "predictions")],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return size

    return work


def bags(size: int, _folder: Path, _data: Path) -> Callable[[], int]:
    """A step of training of gated attention on two bags of so many instances of 64 features, then their prediction."""
    import torch

    from preop.mil import Bag, BagNetwork, Settings, make_head, train
    from preop.mil.ensembles import Ensemble

    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)

    def made(instances: int) -> list[Bag]:
        # One without a positive instance, and one with any number of them.
        parts = [torch.randn(instances // 2, FEATURES, generator=random) for _ in range(2)]
        return [Bag("negative", (parts[0],), low=0, high=0), Bag("positive", (parts[1],), low=1)]

    def learn(given: list[Bag]) -> None:
        def network() -> BagNetwork:
            return BagNetwork(torch.nn.Linear(FEATURES, FEATURES), make_head("gated_attention", FEATURES))

        trained = train(network, given, Settings(epochs=1))
        Ensemble((trained,)).predict(given)

    learn(made(10))
    given = made(size)

    def work() -> int:
        learn(given)
        return sum(bag.size for bag in given)

    return work


CURVES = {
    "radiomics": Curve("voxels of the region", (1_000, 10_000, 100_000, 1_000_000), radiomics),
    "stations": Curve("voxels of the scan", (1_000_000, 4_000_000, 16_000_000), stations),
    "slides": Curve("tiles", (64, 256, 1_024, 4_096), slides),
    "evaluation": Curve("cases", (1_000, 10_000, 100_000), evaluation),
    "cohort": Curve("patients", (10, 100, 1_000), cohort),
    "bags": Curve("instances", (1_000, 10_000, 100_000), bags),
}

if __name__ == "__main__":
    main()
