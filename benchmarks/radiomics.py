r"""Our radiomics beside its peers, on real tumours: ``python benchmarks/radiomics.py --data ../shared/data``.

Each peer needs an environment of its own, and is no part of this project's locks:

    python3.12 -m venv peers/pictologics; peers/pictologics/bin/pip install pictologics==0.9.0
    python -m venv peers/mirp; peers/mirp/bin/pip install mirp==2.7.0
    python -m venv peers/pyradiomics; peers/pyradiomics/bin/pip install pyradiomics-bhklab==3.1.4
    python -m venv peers/flash_radiomics; peers/flash_radiomics/bin/pip install flash-radiomics==1.0.0 \
        numpy h5py SimpleITK pykwalify PyWavelets scipy scikit-image scikit-learn trimesh

and ``--peers peers``; those that are not there are left out. Every program has a process of its own and runs in turn with
the others, so that what else happens on the machine strikes all alike. The first run of each is not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("radiomics_peers.py")
PEERS = ("pictologics", "flash_radiomics", "pyradiomics", "mirp")
CASES = (("STS_002", False), ("STS_026", False), ("STS_020", False), ("STS_002", True), ("STS_026", True))
"""A small, a common and the largest tumour of the public cohort (53,464, 370,901 and 2,334,758 voxels of 1 mm), and two of
them with three Laplacians of Gaussian and eight wavelets."""
AGREE = 1e-3


class Program:
    """A program that computes one case at a time in a process of its own."""

    def __init__(self, name: str, python: Path, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PICTOLOGICS_NUM_THREADS": str(threads)}
        environment |= {"NUMBA_NUM_THREADS": str(threads)}
        self.name = name
        self.process = subprocess.Popen(
            # Without the folder of the benchmarks, whose files have the names of packages.
            [python, "-P", WORKER, name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, case: dict[str, Any]) -> dict[str, Any] | None:
        """Compute a case; None where the program cannot."""
        if self.process.stdin is None or self.process.stdout is None:
            return None
        try:
            self.process.stdin.write(json.dumps(case) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            return None
        found: dict[str, Any] | None = json.loads(answer) if answer else None
        return found

    def close(self) -> None:
        """Let the process end."""
        self.process.communicate()


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds sarcoma/")
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder of the peers' environments")
    parser.add_argument("--programs", nargs="+", choices=PEERS, default=PEERS, help="peers to measure")
    parser.add_argument("--threads", type=int, default=1, help="threads of each program")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each case and program")
    arguments = parser.parse_args()
    pythons = {name: arguments.peers / name / "bin" / "python" for name in arguments.programs}
    pythons = {"preop": Path(sys.executable), **{name: each for name, each in pythons.items() if each.exists()}}
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}, "
        f"{arguments.threads} thread(s), median of {arguments.runs} alternating runs\n"
    )
    print("| tumour | program | features | processor | wall | memory | times our processor time | values that agree |")
    print("|---|---|---|---|---|---|---|---|")
    for patient, filters in CASES:
        folder = arguments.data.resolve() / "sarcoma" / patient
        case = {"image": f"{folder}/CT_image.nii.gz", "mask": f"{folder}/CT_mask.nii.gz", "filters": filters}
        _print_case(patient + (", 11 maps" if filters else ""), case, pythons, arguments.threads, arguments.runs)
    _print_start()


def _print_case(name: str, case: dict[str, Any], pythons: dict[str, Path], threads: int, runs: int) -> None:
    """One row for each program, all of which are started for this case, so that their memory is of it alone."""
    programs = [Program(program, python, threads) for program, python in pythons.items()]
    answers: dict[str, list[dict[str, Any]]] = {each.name: [] for each in programs}
    for _ in range(runs + 1):
        for each in programs:
            answer = each.run(case)
            if answer:
                answers[each.name].append(answer)
    for each in programs:
        each.close()
    ours = answers["preop"][-1]["features"]
    ours_s = _median(answers["preop"], "processor_s")
    for program, found in answers.items():
        if len(found) != runs + 1:
            continue
        last, processor_s = found[-1], _median(found, "processor_s")
        columns = [
            name,
            program,
            f"{len(last['features'])}",
            f"{processor_s:.3f} s",
            f"{_median(found, 'seconds'):.3f} s",
            f"{last['memory_mb']:,.0f} MB",
            f"{processor_s / ours_s:.1f}",
            "" if program == "preop" else _agreement(ours, last["features"]),
        ]
        print("| " + " | ".join(columns) + " |", flush=True)


def _median(answers: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(each[key] for each in answers[1:]))


def _agreement(ours: dict[str, float], theirs: dict[str, float]) -> str:
    """How many values of theirs, with the standard's tag in their name, are within a thousandth of ours."""
    # Programs write the tag before a code of the standard or an aggregation, and those with one aggregation leave it out.
    same = compared = 0
    for key, value in ours.items():
        other = next((theirs[each] for each in _names(key) if each in theirs), None)
        if other is not None and not math.isnan(value):
            compared += 1
            same += math.isclose(value, other, rel_tol=AGREE, abs_tol=1e-6)
    return f"{same} of {compared} by name" if compared else "other names"


def _names(key: str) -> list[str]:
    """Names under which other programs may write a value of ours."""
    tag = key.removesuffix("_3D_comb").removesuffix("_3D_avg").removesuffix("_3D")
    suffix = key[len(tag) :]
    return [
        key,
        f"{tag}_3d{ {'_3D_comb': '_v_mrg', '_3D_avg': '_avg'}.get(suffix, '') }",
        *([tag] if suffix == "_3D" else []),
    ]


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


if __name__ == "__main__":
    main()
