"""Lymph node stations of a real person, measured: ``python benchmarks/stations.py --labels LABELS.nii.gz``.

The default is subject s0011 of the TotalSegmentator data set (doi 10.5281/zenodo.6802613, CC BY 4.0). Prints a table of
every station's volume, extent and neighbours, what was not found, and the time the map took.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from preop.anatomy import Organs, map_stations, measure_stations
from preop.imaging import read_image

REAL_PERSON = Path("../shared/data/anatomy/thorax_totalsegmentator_labels.nii.gz")


def main() -> None:
    """Map, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, default=REAL_PERSON, help="labels of TotalSegmentator's task total")
    labels = read_image(parser.parse_args().labels)
    start, processor_start = time.perf_counter(), time.process_time()
    stations = map_stations(Organs(labels))
    seconds, processor_s = time.perf_counter() - start, time.process_time() - processor_start
    print("| station | volume, ml | left-right x front-back x head-foot, mm | neighbours |")
    print("| --- | --- | --- | --- |")
    for measure in measure_stations(stations):
        extent = " x ".join(f"{size:.0f}" for size in measure.extent_mm)
        print(f"| {measure.station} | {measure.volume_ml:.1f} | {extent} | {', '.join(measure.neighbours)} |")
    for note in stations.notes:
        print(note)
    size = " x ".join(map(str, reversed(labels.shape)))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"{size} voxels: {seconds:.1f} s ({processor_s:.1f} s of processor), peak memory {memory_mb:.0f} MB")


if __name__ == "__main__":
    main()
