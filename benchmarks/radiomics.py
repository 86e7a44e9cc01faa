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
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from preop.radiomics.catalogue import CATALOGUE

WORKER = Path(__file__).with_name("radiomics_peers.py")
PEERS = ("pictologics", "flash_radiomics", "pyradiomics", "mirp")
CASES = (("STS_002", False), ("STS_026", False), ("STS_020", False), ("STS_002", True), ("STS_026", True))
"""A small, a common and the largest tumour of the public cohort (53,464, 370,901 and 2,334,758 voxels of 1 mm), and two of
them with three Laplacians of Gaussian and eight wavelets."""
AGREE = 1e-3
FILLING = frozenset({"mesh", "based", "exces", "of", "and", "at"})
"""Words, without a plural's s, that one program writes and the other leaves out."""
SHORT = {
    "axis-aligned bounding box": "aabb",
    "oriented minimum bounding box": "ombb",
    "approximate enclosing ellipsoid": "aee",
    "minimum volume enclosing ellipsoid": "mvee",
    "(runs)": "",
    "(size zones)": "",
    "(distance zones)": "",
    "(dependence)": "",
    "(neighbourhood differences)": "",
}
"""What our catalogue writes in full, or adds to tell families apart."""


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
        return found if found and found["features"] else None

    def close(self) -> None:
        """Let the process end."""
        self.process.communicate()


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds sarcoma/")
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder of the peers' environments")
    parser.add_argument("--programs", nargs="+", choices=PEERS, default=PEERS, help="peers to measure")
    tumours = list(dict.fromkeys(patient for patient, _ in CASES))
    parser.add_argument("--tumours", nargs="+", choices=tumours, default=tumours, help="tumours to measure")
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
    differences = []
    for patient, filters in (each for each in CASES if each[0] in arguments.tumours):
        folder = arguments.data.resolve() / "sarcoma" / patient
        case = {"image": f"{folder}/CT_image.nii.gz", "mask": f"{folder}/CT_mask.nii.gz", "filters": filters}
        differences += _print_case(
            patient + (", 11 maps" if filters else ""), case, pythons, arguments.threads, arguments.runs
        )
    print("\nValues that differ by more than a thousandth:\n")
    print("\n".join(differences))
    _print_start()


def _print_case(name: str, case: dict[str, Any], pythons: dict[str, Path], threads: int, runs: int) -> list[str]:
    """One row for each program, all of which are started for this case, so that their memory is of it alone.

    Returns
    -------
    Sentences about the values that differ.
    """
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
    differences: list[str] = []
    for program, found in answers.items():
        if len(found) != runs + 1:
            print(f"| {name} | {program} | - | - | - | - | - | - |", flush=True)
            continue
        compared, differ = _compared(ours, found[-1]["features"])
        last, processor_s = found[-1], _median(found, "processor_s")
        columns = [
            name,
            program,
            f"{len(last['features'])}",
            f"{processor_s:.3f} s",
            f"{_median(found, 'seconds'):.3f} s",
            f"{last['memory_mb']:,.0f} MB",
            f"{processor_s / ours_s:.1f}",
            "" if program == "preop" else f"{compared - len(differ)} of {compared}" if compared else "-",
        ]
        print("| " + " | ".join(columns) + " |", flush=True)
        differences += [f"- {name}, {program}: {each}" for each in differ]
    return differences


def _median(answers: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(each[key] for each in answers[1:]))


def _compared(ours: dict[str, float], theirs: dict[str, float]) -> tuple[int, list[str]]:
    """How many values have the same name in both, and which of them are not within a thousandth of each other."""
    by_words = _by_words(theirs)
    compared, differ = 0, []
    for words, values in _by_words(ours).items():
        others = by_words.get(words, [])
        # One name may stand for several families: both programs list those in the order of the standard.
        if len(others) != len(values):
            continue
        for (name, value), (_, other) in zip(values, others, strict=True):
            compared += 1
            if not math.isclose(value, other, rel_tol=AGREE, abs_tol=1e-6) and not math.isnan(value):
                differ.append(f"{name} {value:.4g} here, {other:.4g} there")
    return compared, differ


def _by_words(features: dict[str, float]) -> dict[frozenset[str], list[tuple[str, float]]]:
    found: dict[frozenset[str], list[tuple[str, float]]] = defaultdict(list)
    for name, value in features.items():
        found[_words(name)].append((name, value))
    return found


def _words(name: str) -> frozenset[str]:
    """The words of a feature's name that say what it is, in any order, such as ``{normalised, inverse, difference}``.

    Ours are tags of the standard, as are MIRP's; pictologics writes the standard's names and codes of four characters,
    and a fraction for a percentage. Tags are told in words.
    """
    image, _, feature = name.rpartition("__")
    tag = re.sub("_(d1|a0|3d|fbs|w25).*", "", feature.lower())
    described = CATALOGUE[tag].name if tag in CATALOGUE else feature
    described = re.sub(r"_[A-Z0-9]{3,4}(?=_|$)", "_", described)
    described = described.replace("'", "").replace("0.", "").replace("Center", "Centre").replace("center", "centre")
    for long, short in SHORT.items():
        described = described.replace(long, short)
    return frozenset(each.removesuffix("s") for each in re.findall("[a-z0-9]+", described.lower())) - FILLING | {image}


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
