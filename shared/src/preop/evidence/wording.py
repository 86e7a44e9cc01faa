"""Numbers and names as the sentences of a verdict say them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from preop.statistics import AucComparison, Estimate, difference_in_words, p_value_in_words


def percent(share: float) -> str:
    """Write a share: ``12 %``."""
    return f"{share:.0%}".replace("%", " %")


def minus(text: str) -> str:
    """Write a minus sign for each hyphen of numbers."""
    return text.replace("-", "\N{MINUS SIGN}")


def capital(words: str) -> str:
    """Begin a sentence."""
    return words[:1].upper() + words[1:]


def enumeration(names: Sequence[str], conjunction: str = "or") -> str:
    """Join names: ``a``, ``a or b``, ``a, b or c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {conjunction} {names[-1]}"


def estimate_in_words(estimate: Estimate, digits: int = 2) -> str:
    """Write an estimate: ``0.75 [0.59, 0.91]``, without brackets where there is no interval."""
    value, lower, upper = (f"{end:.{digits}f}" for end in (estimate.value, estimate.lower, estimate.upper))
    known = math.isfinite(estimate.lower) and math.isfinite(estimate.upper)
    return f"{value} [{lower}, {upper}]" if known else value


def comparison_in_words(comparison: AucComparison) -> str:
    """Write a difference of AUCs with its p-value, where there is one: ``+0.07 [+0.01, +0.13], p = 0.024``."""
    p_value = "" if math.isnan(comparison.p_value) else f", {p_value_in_words(comparison.p_value)}"
    return difference_in_words(comparison.difference) + p_value


def oracle_in_words(auc: float | None) -> str:
    """Say in brackets what an observer reaches who knows how simulated patients were made; nothing of real ones."""
    return "" if auc is None else f" (an observer who knows the simulation: {auc:.2f})"
