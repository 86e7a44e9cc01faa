"""The tissue network and the cell network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, eq=False)
class Networks:
    """Both networks, in evaluation mode, with what is known of them.

    Attributes
    ----------
    tissue, cells
        The networks.
    unreliable
        Items of the score card that they do not measure reliably, and why.
    """

    tissue: nn.Module
    cells: nn.Module
    unreliable: Mapping[str, str]
