"""``python -m preop.radiomics.warm_up``: compile every loop once, so that no user of a container waits for it.

Run it while the image is built, after the library was installed and as the user who owns it; the machine code then lies
beside the source and is read from there, also where the container runs as another user or read-only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from preop.imaging import Geometry, Image
from preop.radiomics.features import compute_features
from preop.radiomics.filters import LaplacianOfGaussian, SeparableWavelet
from preop.radiomics.settings import Aggregation, Family, Settings


def warm_up() -> float:
    """Compute all features of a small ball, and return the seconds that it took."""
    start = time.perf_counter()
    geometry = Geometry.axis_aligned((9, 9, 9), (1.0, 1.0, 1.0))
    offsets = np.indices(geometry.shape) - 4
    distance = np.sqrt((offsets**2).sum(axis=0))
    image, mask = Image((10 * distance).astype(np.float32), geometry), Image(distance <= 3, geometry)
    maps = (LaplacianOfGaussian(sigma_mm=0.5), SeparableWavelet(wavelet="haar"))
    # Merged directions alone have a loop of their own, and so have whole intensities.
    compute_features(image, mask, Settings(aggregations=(Aggregation.VOLUME_MERGED,)), {Family.GLCM})
    compute_features(image, mask, Settings(aggregations=tuple(Aggregation), filters=maps))
    compute_features(image, mask, Settings(round_intensities=False), {Family.LOCAL_INTENSITY})
    return time.perf_counter() - start


def main() -> None:
    """Compile for all kinds of processors that may run an image made here, and say how many functions lie where."""
    from preop.radiomics import hulls, kernels, order
    from preop.radiomics.compilation import ANY_PROCESSOR
    from preop.radiomics.filters import convolution

    seconds = warm_up()
    functions = [
        each
        for module in (kernels, order, hulls, convolution)
        for each in vars(module).values()
        if hasattr(each, "stats")
    ]
    folders = sorted({each.stats.cache_path for each in functions})
    print(f"{len(functions)} compiled functions in {', '.join(folders)}, ready after {seconds:.1f} s.")
    if "NUMBA_CPU_NAME" not in os.environ:
        environment = {**os.environ, "NUMBA_CPU_NAME": ANY_PROCESSOR, "NUMBA_CPU_FEATURES": ""}
        subprocess.run([sys.executable, "-m", "preop.radiomics.warm_up"], env=environment, check=True)


if __name__ == "__main__":
    main()
