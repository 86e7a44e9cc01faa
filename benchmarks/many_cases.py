#!/usr/bin/env python3
"""How long the evaluation takes on many cases: ``.venv/bin/python benchmarks/many_cases.py [--cases 100000]``.

A submission of random likelihoods is written as the platform lays it out, with two JSON files a case, and evaluated by the
program of the container with 2,000 resamples; then two AUCs are compared on a million cases by DeLong's test.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from preop.grandchallenge.runtime import parse_usage
from preop.statistics import compare_aucs

ROOT = Path(__file__).parents[1]
TASK = """
title = "Random likelihoods"
study = "benchmark"
kind = "binary"
case_sockets = ["case"]
prediction_socket = "likelihood"
threshold_socket = "explanation"
threshold_key = "decision_threshold"
assessable_socket = "explanation"
reference_column = "label"
prevalence = 0.1
partial_auc_sensitivity = 0.9
net_benefit_thresholds = [0.1, 0.2]
subgroups = { centre = [], age = [50, 70] }
simulated = true
source = "Random numbers."
resamples = 2000
"""


def write_submission(folder: Path, cases: int, *, of_a_patient: int) -> None:
    """Write ``input`` and ``ground_truth`` of so many cases."""
    random = np.random.default_rng(0)
    labels = random.random(cases) < 0.3
    scores = 1 / (1 + np.exp(-(random.normal(size=cases) + labels - 1)))
    jobs, rows = [], ["case,label,centre,age,patient"]
    for place in range(cases):
        name = f"case-{place}"
        output = folder / "input" / name / "output"
        output.mkdir(parents=True)
        (output / "likelihood.json").write_text(f"{scores[place]:.6f}")
        said = {"decision_threshold": 0.4, "assessable": "no" if place % 50 == 0 else "yes"}
        (output / "explanation.json").write_text(json.dumps(said))
        sockets = [{"slug": slug, "relative_path": f"{slug}.json"} for slug in ("likelihood", "explanation")]
        jobs.append(
            {
                "pk": name,
                "status": "Succeeded",
                "inputs": [{"socket": {"slug": "case"}, "value": name}],
                "outputs": [{"socket": socket} for socket in sockets],
            }
        )
        patient = place // of_a_patient
        rows.append(f"{name},{int(labels[place])},{'ABCDE'[place % 5]},{random.integers(30, 90)},{patient}")
    (folder / "input" / "predictions.json").write_text(json.dumps(jobs))
    truth = folder / "ground_truth"
    truth.mkdir()
    (truth / "task.toml").write_text(TASK + ('patient_column = "patient"\n' if of_a_patient > 1 else ""))
    (truth / "reference.csv").write_text("\n".join(rows) + "\n")


def processor_seconds() -> float:
    """Time that programs started from here have taken, whatever else ran meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def evaluate(folder: Path) -> str:
    """Run the program of the container on ``input`` and ``ground_truth`` of a folder; what it printed."""
    (folder / "output").mkdir()
    places = {f"PREOP_{name.upper()}": str(folder / name) for name in ("input", "ground_truth", "output")}
    command = [sys.executable, "-m", "evaluation.evaluate"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **places}, capture_output=True, text=True, check=True
    ).stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--cases-of-a-patient", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_submission(folder, options.cases, of_a_patient=options.cases_of_a_patient)
        start = time.perf_counter()
        usage = parse_usage(evaluate(folder))
        size = (folder / "output" / "metrics.json").stat().st_size / 1e6
        print(
            f"{options.cases} cases, {options.cases_of_a_patient} a patient: {time.perf_counter() - start:.1f} s "
            f"({processor_seconds():.1f} s of processor), {usage.peak_memory_mb if usage else float('nan'):.0f} MB at most, metrics.json of {size:.0f} MB"
        )
    random = np.random.default_rng(1)
    labels = random.random(1_000_000) < 0.3
    scores = [random.normal(size=labels.size) + labels for _ in range(2)]
    start = time.perf_counter()
    compare_aucs(labels, *scores)
    print(f"DeLong's paired test on 1000000 cases: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
