"""Encoders of volumes."""

import subprocess
import sys

import pytest
import torch

from preop.mil.encoders import residual_network


@pytest.mark.parametrize(("voxels", "pooled"), [(24, False), (48, True)])
def test_a_trained_encoder_reads_a_volume_whatever_else_is_in_the_batch(voxels: int, *, pooled: bool) -> None:
    torch.manual_seed(0)
    network = residual_network(3, (8, 8, 16, 16), stride=2, pooled=pooled).eval()
    volumes = torch.randn(3, 3, voxels, voxels, voxels)
    together = network(volumes)
    assert together.shape == (3, 16)
    assert torch.allclose(network(volumes[:1]), together[:1], atol=1e-5)


@pytest.mark.slow
def test_what_monai_would_import_for_nothing_stays_importable_afterwards() -> None:
    code = (
        "import sys; from preop.mil.encoders import residual_network; residual_network(1, (8, 8, 8, 8), stride=2, pooled=False);"
        "print('torchvision' in sys.modules); import torchvision; print(torchvision.ops.nms is not None)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
