"""Sentences and entries that the outputs of every study share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preop.study.provenance import ModelInfo

DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."
SIMULATED = "The model was trained on simulated patients: its figures say nothing about real ones."


def simulation_warnings(info: ModelInfo) -> list[str]:
    """Warn of a model that was trained on simulated patients."""
    return [SIMULATED] if info.training_data.simulated else []


def model_entry(info: ModelInfo, validation: object, **own: Any) -> Mapping[str, Any]:
    """Say in an output by which model it was made.

    Parameters
    ----------
    validation
        The part of the validation figures that this result rests on.
    own
        What else the study says of its model; it comes first.
    """
    return {
        **own,
        "trained_on": info.training_data.description,
        "simulated_patients": info.training_data.simulated,
        "created": info.created,
        "validation": validation,
    }
