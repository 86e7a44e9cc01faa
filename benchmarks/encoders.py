"""Encoders of the size of public foundation models, with random weights: ``python benchmarks/encoders.py FOLDER``.

What a model takes does not depend on what it has learned. Of each, weights of its true size are drawn, written and adopted as a
download would be (``adopt_encoder``); then the tiles of a real slide region are described through the feature store, in a process
of its own: seconds to load it, seconds of the processor a tile, memory of the process, and what a slide of 10,000 tiles leaves on
the disk. Options are those of the makers' pages; FOLDER needs room for the largest (5 GB), and each is removed afterwards.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from preop.slides import EncoderInfo, Slide
from preop.slides.encoders import SMALL, adopt_encoder, new_small_encoder, read_encoder, write_encoder
from preop.slides.features import encode_tiles

DATA = Path(os.environ.get("PREOP_DATA", Path(__file__).parents[2] / "shared" / "data"))
SWIGLU: dict[str, Any] = {
    "mlp_layer": "SwiGLUPacked",
    "act_layer": "silu",
    "init_values": 1e-5,
    "dynamic_img_size": True,
}
OF_224: dict[str, Any] = {"kind": "timm", "tile_px": 224, "um_per_pixel": 0.5, "source": "random weights"}
MODELS = {
    "small": SMALL,
    "UNI": EncoderInfo(
        name="UNI",
        architecture="vit_large_patch16_224",
        options={"init_values": 1e-5, "dynamic_img_size": True},
        features=1024,
        **OF_224,
    ),
    "UNI2-h": EncoderInfo(
        name="UNI2-h",
        architecture="vit_giant_patch14_224",
        options={
            **SWIGLU,
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "patch_size": 14,
        },
        features=1536,
        **OF_224,
    ),
    "Virchow2": EncoderInfo(
        name="Virchow2",
        architecture="vit_huge_patch14_224",
        options={**SWIGLU, "mlp_ratio": 5.3375, "reg_tokens": 4, "patch_size": 14},
        pooling="class_and_mean",
        features=2560,
        **OF_224,
    ),
    "H-optimus-0": EncoderInfo(
        name="H-optimus-0",
        architecture="vit_giant_patch14_reg4_dinov2",
        options={"img_size": 224, "init_values": 1e-5, "dynamic_img_size": False},
        features=1536,
        mean=(0.707223, 0.578729, 0.703617),
        std=(0.211883, 0.230117, 0.177517),
        **OF_224,
    ),
}


def main() -> None:
    """Measure each encoder and print its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--tiles", type=int, default=8, help="tiles to describe")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.folder, arguments.tiles, arguments.data)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(
        "| encoder | weights | file | to load | processor, a tile | memory | 10,000 tiles |\n|---|---|---|---|---|---|---|"
    )
    for name in arguments.only:
        folder = arguments.folder / name
        try:
            weights = make(folder, MODELS[name])
            command = [sys.executable, __file__, str(folder), "--measure", name, "--tiles", str(arguments.tiles)]
            run = subprocess.run(
                [*command, "--data", str(arguments.data)], stdout=subprocess.PIPE, text=True, check=True
            )
            seconds, per_tile, memory_gb = map(float, run.stdout.split()[-3:])
        finally:
            size_gb = sum(file.stat().st_size for file in folder.glob("weights.*")) / 1e9
            shutil.rmtree(folder, ignore_errors=True)
        stored_mb = 10_000 * MODELS[name].features * 2 / 1e6
        print(
            f"| {name} | {weights / 1e6:,.0f} million | {size_gb:.2f} GB | {seconds:.1f} s | {per_tile:.3f} s | {memory_gb:.1f} GB | "
            f"{stored_mb:.0f} MB |",
            flush=True,
        )


def make(folder: Path, info: EncoderInfo) -> int:
    """Write random weights as a maker does, adopt them, and give their number."""
    made = new_small_encoder(0, info)
    download = folder.with_name(f"{folder.name}-download")
    write_encoder(download, made)
    count = sum(part.numel() for part in made.network.parameters())
    del made
    adopt_encoder(download / info.weights_file, folder, info)
    shutil.rmtree(download)
    return count


def measure(folder: Path, tiles: int, data: Path) -> None:
    """Describe tiles of the real region, spread over it, and print seconds and memory."""
    import torch

    torch.set_num_threads(1)
    start = time.perf_counter()
    encoder = read_encoder(folder, device="cpu")
    loaded = time.perf_counter() - start
    with Slide(data / "slides" / "cmu_1_small_region.svs") as slide:
        tiling = slide.tiling(size_px=encoder.info.tile_px, um_per_pixel=encoder.info.um_per_pixel)
        chosen = np.linspace(0, len(tiling) - 1, tiles).astype(int)
        tiling = replace(tiling, rows=tiling.rows[chosen], columns=tiling.columns[chosen])
        before = time.process_time()
        features = encode_tiles(slide, tiling, encoder, threads=0)
        seconds = time.process_time() - before
    if features.shape != (tiles, encoder.info.features) or not np.isfinite(features).all():
        raise SystemExit(f"{encoder.info.name} gave features of the shape {features.shape}, or not finite.")
    print(loaded, seconds / tiles, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)


if __name__ == "__main__":
    main()
