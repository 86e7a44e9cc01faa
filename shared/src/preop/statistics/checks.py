"""What the functions of this package ask of their arrays, in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError


def as_numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Turn values of any shape into floats; whether they must be finite is for the caller to say.

    Raises
    ------
    InvalidInputError
        If any is no number: text, None, or rows of different lengths. ``what`` names them in the sentence.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(f"The {what} are {values!r:.80}; expected numbers.") from None


def as_names(values: Sequence[Any], what: str) -> NDArray[np.str_]:
    """Turn names of categories, groups or patients (n,) into text.

    Raises
    ------
    InvalidInputError
        If any is missing: None or NaN would become a category of its own.
    """
    missing = sum(value is None or (isinstance(value, float) and math.isnan(value)) for value in values)
    if missing:
        raise InvalidInputError(f"Of the {len(values)} {what}, {missing} are missing; leave these cases out first.")
    return np.asarray(values, dtype=np.str_)


def as_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Turn reference labels (n,) into booleans.

    Raises
    ------
    InvalidInputError
        If there are none, they are not one-dimensional, or any is neither 0 nor 1.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise InvalidInputError(f"The labels have shape {array.shape}; expected a list of at least one 0 or 1.")
    strange = array[(array != 0) & (array != 1)]
    if strange.size:
        raise InvalidInputError(f"The labels hold {strange[0]}; expected only 0 (negative) and 1 (positive).")
    return np.asarray(array == 1)


def as_scores(scores: ArrayLike, labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Turn scores (n,) into floats, one for each label.

    Raises
    ------
    InvalidInputError
        If their number is not that of the labels, or any is not finite.
    """
    array = as_numbers(scores, "scores")
    if array.shape != labels.shape:
        raise InvalidInputError(f"There are {array.size} scores for {labels.size} labels; expected one for each.")
    if not np.isfinite(array).all():
        raise InvalidInputError(f"The scores hold {array[~np.isfinite(array)][0]}; expected finite numbers.")
    return array


def as_probabilities(probabilities: ArrayLike, labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Turn probabilities (n,) into floats between 0 and 1, one for each label.

    Raises
    ------
    InvalidInputError
        As :func:`as_scores`, or if any lies outside 0 to 1.
    """
    array = as_scores(probabilities, labels)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        raise InvalidInputError(f"The probabilities hold {outside[0]:g}; expected numbers between 0 and 1.")
    return array


def by_class(labels: NDArray[np.bool_], scores: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Separate scores into those of the positives and those of the negatives.

    Raises
    ------
    InvalidInputError
        If either class has no case.
    """
    if labels.all() or not labels.any():
        raise InvalidInputError(
            f"All {labels.size} cases are {'positive' if labels.all() else 'negative'}; "
            "expected at least one of each class."
        )
    return scores[labels], scores[~labels]
