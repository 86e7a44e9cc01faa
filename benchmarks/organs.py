"""Organs on real CTs, before and after a training: ``python benchmarks/organs.py [--model MODEL ...] --output FILE.json``.

The scans are those of ``../shared/data`` (or where PREOP_DATA says), on which no network was trained: chest CTs with the
outlines of body and aerated lung, and a CT of the abdomen with TotalSegmentator's labels. For each model folder:

- Dice coefficient of lobes and trachea together against aerated lung with open airways, the share of the latter that is
  found, and litres outside of the body;
- what cannot be right (``preop.anatomy.plausibility``), and how many of the 27 stations are placed, or why not;
- Dice coefficient of each organ of the network on the abdomen.

The references hold no vessels of the lungs and no consolidation, which the network rightly counts as lung: some .96 is the
most that can be reached, and less in pneumonia.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from lung_nodal_stage.networks import ORGANS, SPINE
from preop.anatomy import Organs, map_stations
from preop.anatomy.organs import LUNGS
from preop.anatomy.plausibility import implausible
from preop.anatomy.stations import STATIONS
from preop.errors import InvalidInputError
from preop.imaging import Image, read_image
from preop.segmentation import OrganNetworks, load_organ_networks, remove_small_components
from preop.segmentation.body import find_body

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "algorithms" / "lung_nodal_stage" / "model"
DATA = Path(os.environ.get("PREOP_DATA", ROOT.parent / "shared" / "data"))

WHOLE_CHESTS = (
    "cmb_crc_msb_01068",
    "lidc_idri_0001",
    "midrc_ricord_1a_001012",
    "lung_pet_ct_dx_a0001_lung_kernelL",
    "lung_pet_ct_dx_a0001_soft_kernelB",
)
ABDOMEN = "anatomy/abdomen_ct_3mm"
AERATED = 2  # beside 0 outside of the body and 1 inside

Mask = NDArray[np.bool_]


def main() -> None:
    """Measure every model folder, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="*", default=[SHIPPED], help="model folders with organs/ inside")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, help="JSON file of all figures")
    arguments = parser.parse_args()
    found = {}
    for model in arguments.model:
        networks = load_organ_networks(model / "organs", ORGANS)
        found[str(model)] = measured = measure(networks, arguments.data)
        print(f"\n{model}")
        print_figures(measured)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n")


def measure(networks: OrganNetworks, data: Path) -> dict[str, Any]:
    """Measure one network on all scans."""
    chests = {name: _chest(networks, data / "real" / "ct" / f"{name}.nii.gz") for name in WHOLE_CHESTS}
    return {"chests": chests, "abdomen": _abdomen(networks, data)}


def _chest(networks: OrganNetworks, path: Path) -> dict[str, Any]:
    ct = read_image(path)
    reference = read_image(path.with_name(path.name.replace(".nii", "_bodylung.nii"))).voxels
    start = time.perf_counter()
    organs = remove_small_components(networks.segment(ct))
    seconds = time.perf_counter() - start
    lungs = organs.mask(*LUNGS)
    holding_air, aerated = lungs | organs.mask("trachea"), reference == AERATED
    labelled = Organs(organs.labels, organs.values)
    litres = ct.geometry.voxel_volume_mm3 / 1e6
    figures: dict[str, Any] = {
        "lung_dice": dice(holding_air, aerated),
        "aerated_lung_found": round(float((holding_air & aerated).sum() / aerated.sum()), 3),
        "litres_outside_body": round(float((lungs & (reference == 0)).sum()) * litres, 3),
        "organs_ml": {name: round(float(organs.mask(name).sum()) * litres * 1000) for name in ORGANS},
        "seconds": round(seconds, 1),
    }
    try:
        stations = map_stations(labelled)
    except InvalidInputError as error:
        return {**figures, "stations": 0, "missing": list(STATIONS), "implausible": [str(error)]}
    missing = [name for name in STATIONS if not stations.mask(name).any()]
    failed = implausible(stations.thorax, labelled, ct, find_body(ct).mask)
    return {
        **figures,
        "stations": len(STATIONS) - len(missing),
        "missing": missing,
        "notes": list(stations.notes),
        "implausible": [each.finding for each in failed],
    }


def _abdomen(networks: OrganNetworks, data: Path) -> dict[str, float | None]:
    from totalsegmentator.map_to_binary import class_map

    values = {name: value for value, name in class_map["total"].items()}
    ct = read_image(data / f"{ABDOMEN}.nii.gz")
    labels: Image = read_image(data / f"{ABDOMEN}_totalsegmentator_labels.nii.gz")
    organs = remove_small_components(networks.segment(ct))
    figures: dict[str, float | None] = {}
    for name in ORGANS:
        names = [each for each in values if each.startswith("vertebrae")] if name == SPINE else [name]
        true = np.isin(labels.voxels, [values[each] for each in names])
        figures["spine" if name == SPINE else name] = dice(organs.mask(name), true) if true.any() else None
    return figures


def dice(found: Mask, true: Mask) -> float:
    """Dice coefficient of two masks, of which one is not empty."""
    return round(2 * float((found & true).sum()) / float(found.sum() + true.sum()), 3)


def print_figures(measured: dict[str, Any]) -> None:
    """Print what was measured, a line a scan."""
    for name, row in measured["chests"].items():
        print(
            f"{name:36} lungs {row['lung_dice']:.3f} ({row['aerated_lung_found']:.3f} found), outside {row['litres_outside_body']:.3f} l, "
            f"stations {row['stations']} of {len(STATIONS)}, {row['seconds']:.1f} s"
        )
        lines: Sequence[str] = [f"not placed: {', '.join(row['missing'])}"] if row["missing"] else []
        for line in (*lines, *row["implausible"]):
            print(f"    {line}")
    seen = {name: value for name, value in measured["abdomen"].items() if value is not None}
    print(f"{'abdomen':36} {', '.join(f'{name} {value:.2f}' for name, value in seen.items())}")


if __name__ == "__main__":
    main()
