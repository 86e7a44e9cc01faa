"""What an algorithm's program does before it reads the first voxel: ``python benchmarks/cold_start.py [--runs N]``.

A process of its own imports the method and loads the shipped model, as a container does at its start; for each algorithm
the median and the range of several runs, in seconds of the processor and by the clock, and the largest memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from preop.study import find_studies

ALGORITHMS = Path(__file__).parents[1] / "algorithms"
PROGRAM = """
import json, resource, sys, time
begin = time.perf_counter()
from importlib import import_module
from pathlib import Path
from preop.grandchallenge.algorithm import read_algorithm
folder = Path(sys.argv[1])
import_module(f"{folder.name}.inference").load_model(folder / "model", read_algorithm(folder))
clock = time.perf_counter() - begin
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"processor": used.ru_utime + used.ru_stime, "clock": clock, "memory_mb": used.ru_maxrss / 1024}))
"""


def main() -> None:
    """Measure all algorithms in turn, as often as asked, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    studies = find_studies(ALGORITHMS)
    environment = os.environ | {"PYTHONPATH": str(ALGORITHMS)}
    found: dict[str, list[dict[str, float]]] = {study.name: [] for study in studies}
    for _ in range(runs):
        for study in studies:
            command = [sys.executable, "-c", PROGRAM, str(study.folder)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found[study.name].append(json.loads(done.stdout))
    print(f"{runs} runs each, load of this machine {os.getloadavg()[0]:.1f}\n")
    print("| algorithm | seconds of the processor | by the clock | memory, MB |\n| --- | --- | --- | --- |")
    for name, each in found.items():
        cells = [
            f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            for values in ([run[key] for run in each] for key in ("processor", "clock"))
        ]
        print(f"| `{name}` | {' | '.join(cells)} | {max(run['memory_mb'] for run in each):.0f} |")


if __name__ == "__main__":
    main()
