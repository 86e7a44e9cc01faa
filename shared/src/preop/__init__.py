"""Pre-operative staging: from a hospital's cohort to a validated algorithm for grand-challenge.org.

The packages form floors; each imports only from the floors below it (``tests/test_floors.py``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preop.api import Loaded

__version__ = "0.1.0"


def load(name: str, model: str | os.PathLike[str] | None = None) -> Loaded:
    """Load an algorithm with its model, to predict from Python: :func:`preop.api.load`."""
    from preop import api

    return api.load(name, model)
