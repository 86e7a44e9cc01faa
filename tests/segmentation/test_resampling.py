from __future__ import annotations

import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from preop.segmentation.resampling import resample_scan, resample_scores
from tests.segmentation.networks import SKIMAGE, plans_of

CONFIGURATION = ConfigurationManager(plans_of()["configurations"]["3d_fullres"])
GRIDS = [
    ((12, 20, 17), (2.0, 1.0, 1.0), (24, 15, 30)),
    ((40, 20, 17), (1.0, 1.0, 1.0), (13, 20, 9)),
    ((8, 20, 17), (6.0, 1.0, 1.0), (16, 27, 12)),
    ((20, 17, 8), (1.0, 1.0, 6.0), (27, 12, 5)),
    ((1, 20, 17), (6.0, 1.0, 1.0), (2, 27, 12)),
]


@pytest.mark.parametrize(("shape", "spacing", "new_shape"), GRIDS)
def test_matrices_resample_as_the_stock_program(
    shape: tuple[int, ...], spacing: tuple[float, ...], new_shape: tuple[int, ...]
) -> None:
    new_spacing = [mm * old / new for mm, old, new in zip(spacing, shape, new_shape, strict=True)]
    rng = np.random.default_rng(3)
    scan = rng.normal(size=(2, *shape)).astype(np.float32)
    expected = resample_data_or_seg_to_shape(
        scan.copy(), new_shape, spacing, new_spacing, **SKIMAGE["resampling_fn_data_kwargs"]
    )
    found = resample_scan(torch.from_numpy(scan), new_shape, spacing, new_spacing, CONFIGURATION)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)

    scores = scan[:1].astype(np.float16)
    expected = resample_data_or_seg_to_shape(
        scores.copy(), new_shape, spacing, new_spacing, **SKIMAGE["resampling_fn_probabilities_kwargs"]
    )
    found = resample_scores(torch.from_numpy(scores[0]), new_shape, spacing, new_spacing, CONFIGURATION)
    # The stock program rounds to float16; exact ties of that rounding may fall to either side.
    np.testing.assert_allclose(found.numpy(), expected[0], rtol=2**-10, atol=1e-5)
    assert (found.numpy() == expected[0]).mean() > 0.98
