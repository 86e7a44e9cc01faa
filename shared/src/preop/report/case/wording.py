"""Numbers of a case in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def percent(share: float) -> str:
    """Write a share, on one line; never as certain as 0 or 100 % where it is not."""
    if 0 < share < 0.005:
        return "under 1\N{NO-BREAK SPACE}%"
    if 0.995 <= share < 1:
        return "over 99\N{NO-BREAK SPACE}%"
    return f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def auc_in_words(models: Mapping[str, Any], interval_name: str = "95 % CI") -> str:
    """Say how well the model ranked held-out patients, of the figures of an output's ``model.validation``.

    Parameters
    ----------
    models
        Figures of each model with ``auc`` and ``baseline``: the last that is no baseline counts.
    interval_name
        What its interval is.
    """
    figures = [each for each in models.values() if not each.get("baseline")]
    if not figures:
        return ""
    auc = figures[-1]["auc"]
    if not auc or auc["value"] is None:
        return ""
    interval = f" ({interval_name} {auc['lower']:.2f} to {auc['upper']:.2f})" if auc.get("lower") is not None else ""
    return f"AUC in cross-validation {auc['value']:.2f}{interval}."


def sentence_of(parts: Sequence[str]) -> str:
    """Join sentences into a paragraph."""
    return " ".join(part for part in parts if part)
