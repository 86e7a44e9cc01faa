"""Trains the network that draws lesions, on the outlines of a cohort: nnU-Net on CT and PET, one network a fold.

The network of a fold has not seen the patients of that fold, so that what is learned from its lesions, and the validation,
are not flattered. Together they are the ensemble of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from preop.cohort import Cohort, Patient
from preop.errors import InvalidInputError
from preop.imaging import Image, to_common_frame
from preop.progress import progress_bars
from preop.segmentation import TrainingSettings, train_network

from .assessment import CT, PET
from .lesions import SEGMENTATION


class LesionNetwork(BaseModel):
    """The network and the length of its training, as ``preop.segmentation.TrainingSettings`` has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spacing_mm: float = Field(3.0, gt=0, description="of its voxels")
    patch: int = Field(96, ge=16, description="edge of its tiles in voxels")
    features: tuple[int, ...] = Field((32, 64, 128, 256, 320), description="feature maps of each stage")
    convolutions: int = Field(2, ge=1, description="in each stage")
    batch_size: int = Field(2, ge=1, description="tiles in a step")
    epochs: int = Field(250, ge=1, description="of training, of each fold")
    iterations: int = Field(250, ge=1, description="steps in an epoch")

    @property
    def training(self) -> TrainingSettings:
        """The same in the library's terms."""
        return TrainingSettings(
            labels=("lesion",),
            channels=("CT", "PET"),
            spacing_mm=(self.spacing_mm,) * 3,
            patch=(self.patch,) * 3,
            features=self.features,
            convolutions=self.convolutions,
            batch_size=self.batch_size,
            epochs=self.epochs,
            iterations=self.iterations,
            mirroring=True,
        )


def train_lesion_networks(
    cohort: Cohort,
    folds: Sequence[Sequence[int]],
    settings: LesionNetwork,
    output: Path,
    *,
    seed: int,
) -> None:
    """Train a network for each fold, on the patients of the others.

    Stopped and called again it goes on where it was.

    Parameters
    ----------
    folds
        Places of the patients of each fold in the cohort.
    output
        Folder that gets the networks, as nnU-Net lays them out.

    Raises
    ------
    InvalidInputError
        If a patient has no segmentation of the lesions.
    """
    if missing := [patient.name for patient in cohort.patients if SEGMENTATION not in patient.case]:
        raise InvalidInputError(
            f"A network of lesions is to be trained, and {len(missing)} of {len(cohort.patients)} patients have no "
            f"{SEGMENTATION} ({', '.join(missing[:3])}): give it for all, an empty one where there is no lesion."
        )
    for number, held_out in enumerate(folds):
        cases: Mapping[str, Callable[[], tuple[Sequence[Image], Image]]] = {
            patient.name: _Case(patient) for place, patient in enumerate(cohort.patients) if place not in held_out
        }
        with progress_bars() as bars:
            bar = bars.add_task(f"Training lesion network {number + 1} of {len(folds)}", total=settings.epochs)
            train_network(
                cases,
                settings.training,
                output,
                seed=seed,
                fold=number,
                progress=lambda done, _, bars=bars, bar=bar: bars.update(bar, completed=done),  # type: ignore[misc]
            )


class _Case:
    """A patient's scans on the grid of the CT, and 1 in every lesion."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient

    def __call__(self) -> tuple[Sequence[Image], Image]:
        ct, drawn = self.patient.case.image(CT), self.patient.case.image(SEGMENTATION)
        suv, _ = to_common_frame(self.patient.case.image(PET), ct)
        return (ct, suv), drawn.with_voxels((drawn.voxels > 0).astype(np.uint8))
