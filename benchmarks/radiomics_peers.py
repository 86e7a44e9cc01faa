"""One program in a process of its own, for ``benchmarks/radiomics.py``, which starts it and asks for one run at a time.

Runs in the environment of the program that it measures, so that it needs no more of Python than that. Each line on the
standard input is a case (``image``, ``mask``, ``filters``); the answer is its features and what it took.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LOWER, UPPER, BIN_WIDTH = -200.0, 300.0, 25.0
SIGMAS_MM = (1.0, 2.0, 3.0)
PASSES = ["".join(passes) for passes in itertools.product("LH", repeat=3)]
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))

Features = Mapping[str, float] | None
"""None where a program does not have the standard's filters."""
Compute = Callable[[str, str, bool], Features]


def preop() -> Compute:
    """Ours: all three-dimensional features, directions merged."""
    from preop.imaging import read_image
    from preop.radiomics import Settings, compute_features
    from preop.radiomics.filters import LaplacianOfGaussian, SeparableWavelet

    plain = Settings(lower=LOWER, upper=UPPER)
    maps = (*(LaplacianOfGaussian(sigma_mm=s) for s in SIGMAS_MM), *(SeparableWavelet(passes=p) for p in PASSES))
    filtered = plain.model_copy(update={"filters": maps})

    def compute(image: str, mask: str, filters: bool) -> Features:  # noqa: FBT001
        images = read_image(Path(image)), read_image(Path(mask))
        return compute_features(*images, filtered if filters else plain, threads=THREADS)

    return compute


def pictologics() -> Compute:
    """All features of pictologics, directions merged: one configuration for the image and one for each map."""
    from pictologics import RadiomicsPipeline  # type: ignore[import-not-found]

    def configuration(*before: dict[str, Any], discretise: dict[str, Any], families: list[str]) -> list[dict[str, Any]]:
        resample: dict[str, Any] = {"new_spacing": (1.0, 1.0, 1.0), "interpolation": "linear"}
        resample |= {"mask_interpolation": "linear", "round_intensities": True}
        extract: dict[str, Any] = {"families": families}
        if "morphology" in families:
            extract |= {"include_spatial_intensity": True, "include_local_intensity": True}
        return [
            {"step": "resample", "params": resample},
            {"step": "resegment", "params": {"range_min": LOWER, "range_max": UPPER}},
            *before,
            {"step": "discretise", "params": discretise},
            {"step": "extract_features", "params": extract},
        ]

    pipeline = RadiomicsPipeline()
    response: dict[str, Any] = {
        "discretise": {"method": "FBN", "n_bins": 32},
        "families": ["intensity", "texture", "histogram", "ivh"],
    }
    pipeline.add_config(
        "image",
        configuration(
            discretise={"method": "FBS", "bin_width": BIN_WIDTH, "min_val": LOWER},
            families=["intensity", "morphology", "texture", "histogram", "ivh"],
        ),
    )
    maps: dict[str, dict[str, Any]] = {
        f"log_{sigma:g}mm": {"type": "log", "sigma_mm": sigma, "truncate": 4.0, "boundary": "mirror"}
        for sigma in SIGMAS_MM
    }
    for passes in PASSES:
        maps[f"wavelet_coif1_{passes}_1"] = {
            "type": "wavelet",
            "wavelet": "coif1",
            "level": 1,
            "decomposition": passes,
            "boundary": "mirror",
        }
    for name, parameters in maps.items():
        pipeline.add_config(name, configuration({"step": "filter", "params": parameters}, **response))

    def compute(image: str, mask: str, filters: bool) -> Features:  # noqa: FBT001
        found = pipeline.run(image, mask, config_names=["image", *(maps if filters else ())])
        return {
            key if name == "image" else f"{name}__{key}": float(value)
            for name, values in found.items()
            for key, value in values.items()
        }

    return compute


def mirp() -> Compute:
    """All features of MIRP, directions merged, with its defaults, by which it estimates Moran's I and Geary's C from samples."""
    import logging

    from mirp import extract_features  # type: ignore[import-not-found]

    logging.disable()
    tags = {"morph", "loc", "stat", "ivh", "ih", "cm", "rlm", "szm", "dzm", "ngt", "ngl"}

    def compute(image: str, mask: str, filters: bool) -> Features:  # noqa: FBT001
        if filters:
            return None
        table = extract_features(
            image=image,
            mask=mask,
            image_modality="CT",
            new_spacing=1.0,
            spline_order=1,
            anti_aliasing=False,
            resegmentation_method="threshold",
            resegmentation_intensity_range=[LOWER, UPPER],
            base_discretisation_method="fixed_bin_size",
            base_discretisation_bin_width=BIN_WIDTH,
            base_feature_families="all",
            glcm_spatial_method="3d_volume_merge",
            glrlm_spatial_method="3d_volume_merge",
        )[0]
        return {str(key): float(table[key].iloc[0]) for key in table.columns if str(key).split("_")[0] in tags}

    return compute


def flash_radiomics() -> Compute:
    """The features of flash-radiomics that its defaults enable."""
    from flash_radiomics import RadiomicsFeatureExtractor  # type: ignore[import-not-found]

    return _of_extractor(RadiomicsFeatureExtractor, backend="cpu", num_threads=THREADS)


def pyradiomics() -> Compute:
    """The features of PyRadiomics that its defaults enable."""
    import logging

    logging.disable()
    from radiomics.featureextractor import RadiomicsFeatureExtractor  # type: ignore[import-not-found]

    return _of_extractor(RadiomicsFeatureExtractor)


def _of_extractor(extractor: Callable[..., Any], **own: Any) -> Compute:
    made = extractor(
        binWidth=BIN_WIDTH,
        resampledPixelSpacing=[1.0, 1.0, 1.0],
        interpolator="sitkLinear",
        resegmentRange=[LOWER, UPPER],
        **own,
    )

    def compute(image: str, mask: str, filters: bool) -> Features:  # noqa: FBT001
        if filters:
            return None
        found = made.execute(image, mask)
        return {key: float(value) for key, value in found.items() if key.startswith("original_")}

    return compute


PROGRAMS: dict[str, Callable[[], Compute]] = {
    each.__name__: each for each in (preop, pictologics, flash_radiomics, pyradiomics, mirp)
}


def main() -> None:
    """Answer until there is nothing more to read."""
    # What a program prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    compute = PROGRAMS[sys.argv[1]]()
    for line in sys.stdin:
        case = json.loads(line)
        start, processor_start = time.perf_counter(), time.process_time()
        features = compute(case["image"], case["mask"], case["filters"])
        seconds, processor_s = time.perf_counter() - start, time.process_time() - processor_start
        answer = {"features": features, "seconds": seconds, "processor_s": processor_s, "memory_mb": _peak_memory_mb()}
        print(json.dumps(answer), file=answers, flush=True)


def _peak_memory_mb() -> float:
    """Most memory that this process held."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
