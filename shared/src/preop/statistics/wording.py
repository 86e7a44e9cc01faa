"""Numbers as a sentence says them."""

from __future__ import annotations

import math

from preop.statistics.intervals import Estimate


def p_value_in_words(p_value: float) -> str:
    """Write a p-value as text: ``p = 0.04``, ``p < 0.001``."""
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.095 else f"p = {p_value:.2f}"


def difference_in_words(estimate: Estimate) -> str:
    """Write a difference with its signs: ``+0.12 [+0.03, +0.21]``, without brackets where there is no interval."""
    interval = "" if math.isnan(estimate.lower) else f" [{estimate.lower:+.2f}, {estimate.upper:+.2f}]"
    return f"{estimate.value:+.2f}{interval}".replace("-", "\N{MINUS SIGN}")
