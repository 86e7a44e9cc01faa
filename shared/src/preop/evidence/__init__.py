"""Held-out predictions as plain records of a few kinds, and every figure that is derived from them.

What is stored is who predicted what of whom. Training reports, the evaluation container and external validation take
their figures from here, so that the same figure means the same everywhere.
"""

from preop.evidence.figures import Comparison, Figure, ModelFigures, Stored, ValidationFigures

__all__ = ["Comparison", "Figure", "ModelFigures", "Stored", "ValidationFigures"]
