"""The stock nnU-Net, as its command line runs it but for the worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from preop.imaging import Image, write_image


@pytest.fixture
def stock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., NDArray[Any]]:
    """Function that gives the labels (or probabilities) that the stock nnU-Net gives of a scan."""

    def predict(
        folder: Path, images: Sequence[Image], *, mirroring: bool = True, probabilities: bool = False
    ) -> NDArray[Any]:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        files = [tmp_path / f"case_{number:04d}.nii.gz" for number in range(len(images))]
        for image, file in zip(images, files, strict=True):
            write_image(image, file)
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, use_mirroring=mirroring)
        predictor.initialize_from_trained_model_folder(str(folder), None)
        predictor.predict_from_files_sequential(
            [list(map(str, files))], [str(tmp_path / "case")], save_probabilities=probabilities
        )
        capsys.readouterr()
        if probabilities:
            with np.load(tmp_path / "case.npz") as content:
                return np.asarray(content["probabilities"])
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "case.nii.gz"))))

    return predict
