"""Labels by ONNX Runtime beside labels by torch, on real CTs: ``python benchmarks/portable_forms.py [--data DATA]``.

The shipped network of organs, in both of its forms, on every CT of ``../shared/data`` that is whole: voxels of the body whose
label differs, and the processor's seconds on one thread. The forms take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from lung_nodal_stage.networks import ORGANS
from preop.imaging import read_image
from preop.segmentation import OrganNetworks, load_organ_networks
from preop.segmentation.portable_network import PORTABLE_FILE

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "algorithms" / "lung_nodal_stage" / "model" / "organs"
DATA = Path(os.environ.get("PREOP_DATA", ROOT.parent / "shared" / "data"))


def main() -> None:
    """Segment every CT twice and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    data = parser.parse_args().data
    scans = sorted(
        path for path in (data / "real" / "ct").glob("*.nii.gz") if not path.name.endswith("_bodylung.nii.gz")
    )
    scans += [data / "anatomy" / "abdomen_ct_3mm.nii.gz", data / "liver" / "crlm_ct_1004.nii.gz"]
    with tempfile.TemporaryDirectory() as folder:
        weights_alone = Path(folder) / "organs"
        shutil.copytree(SHIPPED, weights_alone, ignore=shutil.ignore_patterns(PORTABLE_FILE))
        forms = {
            "torch": load_organ_networks(weights_alone, ORGANS, device="cpu", threads=1),
            "portable": load_organ_networks(SHIPPED, ORGANS, device="cpu", threads=1),
        }
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
        print("| CT | voxels | labelled | differ | torch | ONNX Runtime |\n|---|---|---|---|---|---|")
        for path in scans:
            print(row(path, forms), flush=True)


def row(path: Path, forms: dict[str, OrganNetworks]) -> str:
    """Measure one scan."""
    ct = read_image(path)
    labels, seconds = {}, {}
    for name, networks in forms.items():
        start = time.process_time()
        labels[name] = networks.segment(ct).labels.voxels
        seconds[name] = time.process_time() - start
    differ = int((labels["torch"] != labels["portable"]).sum())
    name = path.name.removesuffix(".nii.gz")
    labelled = int(np.count_nonzero(labels["torch"]))
    return f"| {name} | {ct.voxels.size:,} | {labelled:,} | {differ:,} | {seconds['torch']:.1f} s | {seconds['portable']:.1f} s |"


if __name__ == "__main__":
    main()
