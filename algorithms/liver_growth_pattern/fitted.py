"""A trained model of both learners, and what it is asked about; networks in their portable form need no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preop.portable import PortableNetwork
from preop.staging import WithinPatientCorrelation

from .combination import LEARNERS, Learner, PatientPrediction, Stack, predict_patient
from .regression import Regression, Row
from .reports import UNKNOWN

if TYPE_CHECKING:
    from preop.mil import Bag, BagNetwork

Floats = NDArray[np.float64]
COMBINATION = "combination"
LEARNERS_OF: Mapping[str, tuple[Learner, ...]] = {
    COMBINATION: LEARNERS,
    **{learner: (learner,) for learner in LEARNERS},
}
"""What is validated: both learners combined, and each alone."""
MODELS = tuple(LEARNERS_OF)


@dataclass(frozen=True, eq=False)
class Patient:
    """What is learned from.

    Attributes
    ----------
    name, centre
        Of the patient.
    rows
        Features of each metastasis.
    patches
        Of each metastasis (n, points, 2, 18, 5, 5), uint8.
    reports
        Number of the report of each metastasis in ``REPORTS``, or ``UNKNOWN``.
    state
        1 non-desmoplastic, 0 desmoplastic, ``UNKNOWN``.
    """

    name: str
    centre: str
    rows: Sequence[Row]
    patches: NDArray[np.uint8]
    reports: Sequence[int] = field(default_factory=tuple)
    state: int = UNKNOWN
    group: str = ""

    @property
    def bag(self) -> Bag:
        """The same for ``preop.mil``; non-desmoplastic is positive."""
        import torch

        from preop.mil import Bag

        low, high = {0: (0.0, 0.0), 1: (1.0, math.inf)}.get(self.state, (0.0, math.inf))
        return Bag(
            self.name, (torch.from_numpy(self.patches),), low, high, torch.tensor(self.reports), self.group, self.centre
        )


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model.

    Attributes
    ----------
    regression, networks
        The learners; the networks as torch runs them, or all in one portable form.
    stacks, within_patient_correlations
        How each of ``MODELS`` comes from their outputs.
    typical
        Mean outputs (4,) of each learner on patients it has not seen: what a contribution is counted from.
    """

    regression: Regression
    networks: Sequence[BagNetwork] | PortableNetwork
    stacks: Mapping[str, Stack]
    within_patient_correlations: Mapping[str, WithinPatientCorrelation]
    typical: Mapping[Learner, Floats]

    def outputs(self, patients: Sequence[Patient]) -> list[dict[Learner, Floats]]:
        """Outputs (n, 4) of each learner for the metastases of each patient; of networks the mean."""
        return [
            {"radiomics": self.regression.predict(patient.rows), "network": np.mean(found, axis=0, dtype=np.float64)}
            for patient, found in zip(patients, self._by_networks(patients), strict=True)
        ]

    def _by_networks(self, patients: Sequence[Patient]) -> list[Any]:
        """Outputs (networks, n, 4) for the metastases of each patient."""
        if isinstance(self.networks, PortableNetwork):
            return [self.networks(patient.patches)[0] for patient in patients]
        from .network import outputs_of

        bags = [patient.bag for patient in patients]
        return list(zip(*(outputs_of(network, bags) for network in self.networks), strict=True))

    def predict(self, patients: Sequence[Patient], model: str = COMBINATION) -> list[PatientPrediction]:
        """Predict patients by one of ``MODELS``, in their order."""
        stack, correlation = self.stacks[model], self.within_patient_correlations[model]
        return [predict_patient(stack.combine(outputs), correlation) for outputs in self.outputs(patients)]
