"""Whether a structure can be what it is called: ranges of adults, each with its source, that its measures are held to.

A structure outside of a range is named and counts as not assessed, never as negative or positive: a network or a reader who
outlines the liver as a lymph node gives numbers, but none that mean anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PlausibleRange:
    """Between what a measure of a structure lies.

    Attributes
    ----------
    measure
        What is measured, with its article: "a volume".
    unit
        Of the measure.
    low, high
        Smallest and largest plausible value; infinite where there is none.
    source
        Where the range comes from: a paper, a standard, or what was reckoned.
    """

    measure: str
    unit: str
    low: float
    high: float
    source: str

    def problem(self, value: float) -> str | None:
        """Say that a value is not plausible; None where it is, or where it is not known (not a number)."""
        if math.isnan(value) or self.low <= value <= self.high:
            return None
        written = f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"
        return f"{self.measure} of {written} {self.unit} (plausible: {self._in_words()})"

    def _in_words(self) -> str:
        if math.isinf(self.high):
            return f"{self.low:g} {self.unit} or more"
        if math.isinf(self.low):
            return f"{self.high:g} {self.unit} or less"
        return f"{self.low:g} to {self.high:g} {self.unit}"


def not_plausible(structure: str, problems: Mapping[int, Sequence[str]]) -> list[str]:
    """Name each structure that is not plausible in a sentence.

    Parameters
    ----------
    structure
        What each is called, in the singular: "lymph node".
    problems
        Of each structure by number; those without a problem are not named.
    """
    return [
        f"Not plausible as a {structure}, and not assessed: number {number}, with {' and '.join(found)}."
        for number, found in problems.items()
        if found
    ]
