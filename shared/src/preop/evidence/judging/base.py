"""What every kind of evaluation has: all cases, those that were not declined, groups of them, and others beside them."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from preop.evidence.records import stated_or_unknown
from preop.statistics import REPEATS, Estimate

Chosen = NDArray[np.bool_]
Json = dict[str, Any]
Item = TypeVar("Item")

FEWEST_CASES = 10
"""With fewer cases, or fewer of an outcome, a figure of a group says little, and is said to."""


@dataclass(frozen=True)
class Resampling:
    """How intervals that no formula gives are found.

    Attributes
    ----------
    repeats, seed
        Of the bootstrap.
    """

    repeats: int = REPEATS
    seed: int = 0


DEFAULT_RESAMPLING = Resampling()


@overload
def some(items: Sequence[Item], chosen: Chosen) -> tuple[Item, ...]: ...


@overload
def some(items: Sequence[Item] | None, chosen: Chosen) -> tuple[Item, ...] | None: ...


def some(items: Sequence[Item] | None, chosen: Chosen) -> tuple[Item, ...] | None:
    """Give some of the items (n,); None of none."""
    return None if items is None else tuple(item for item, own in zip(items, chosen, strict=True) if own)


@dataclass
class Figures:
    """Figures as ``metrics.json`` states them, and why others are not among them.

    Attributes
    ----------
    stated
        By name, an estimate as value, lower and upper; null for what the cases do not determine.
    not_computed
        The reason for each null, by the name of the figure.
    """

    stated: Json = field(default_factory=dict)
    not_computed: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, estimate: Estimate | None, reason: str) -> None:
        """State an estimate, or the reason why there is none."""
        self.stated[name] = stated_or_unknown(estimate)
        if estimate is None or math.isnan(estimate.value):
            self.not_computed[name] = reason

    def number(self, name: str, value: float | None, reason: str) -> None:
        """State a number without an interval, or the reason why there is none."""
        unknown = value is None or not math.isfinite(value)
        self.stated[name] = None if unknown else value
        if unknown:
            self.not_computed[name] = reason

    def as_dict(self) -> Json:
        """Join both."""
        return self.stated | ({"not_computed": self.not_computed} if self.not_computed else {})


class Judged(ABC):
    """Cases of one kind with their reference and what was predicted of them."""

    @property
    @abstractmethod
    def cases(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def smallest_class(self) -> int:
        """How many cases have the rarer outcome, or all where the reference knows none."""

    @abstractmethod
    def take(self, chosen: Chosen) -> Self:
        """Give some of the cases (n,)."""

    @abstractmethod
    def headline(self) -> Figures:
        """Give the few figures by which groups are compared."""

    @abstractmethod
    def figures(self) -> Figures:
        """Give all figures."""

    @abstractmethod
    def curves(self) -> Json:
        """Give what charts are drawn from."""


def aggregates_of(
    judged: Judged,
    *,
    declined: Chosen | None = None,
    groups: Mapping[str, Mapping[str, Chosen]] | None = None,
) -> Json:
    """Put all figures together: of all cases, without those that were declined, and of each group.

    Parameters
    ----------
    judged
        All cases.
    declined
        Which of them the algorithm said it could not assess (n,); None where it says nothing of the kind.
    groups
        Cases of each group (n,), by the column that divides them and the name of the group.
    """
    found = judged.figures().as_dict()
    if declined is not None:
        kept = ~declined
        found["without_declined"] = {"cases": int(kept.sum())} | (
            judged.take(kept).figures().as_dict() if kept.any() else {}
        )
    if groups:
        found["subgroups"] = {
            column: {key(name): _group(judged, name, chosen) for name, chosen in named.items()}
            for column, named in groups.items()
        }
    return found


def key(name: str) -> str:
    """Write a name as a key of ``metrics.json``, which is read by dotted paths."""
    return name.replace(".", "_") or "not stated"


def _group(judged: Judged, name: str, chosen: Chosen) -> Json:
    part = judged.take(chosen)
    small = min(part.cases, part.smallest_class) < FEWEST_CASES
    return {"name": name or "not stated", "cases": part.cases, "small": small, **part.headline().as_dict()}


def groups_of(cells: Sequence[str], edges: Sequence[float], numbers: Sequence[float] | None) -> dict[str, Chosen]:
    """Divide cases by a column: by what it says, or by numbers at the edges.

    Parameters
    ----------
    cells
        The column (n,).
    edges
        Where numbers are divided: below the first, from there to below the second, and so on; none for a group each.
    numbers
        The column as numbers (n,), NaN where a cell is empty; None where there are no edges.
    """
    column = np.array(cells, dtype=np.str_)
    if not edges or numbers is None:
        return {str(name): column == name for name in sorted(set(cells))}
    values = np.array(numbers, dtype=np.float64)
    ends = [-math.inf, *edges, math.inf]
    names = [
        f"below {edges[0]:g}",
        *(f"{low:g} to below {high:g}" for low, high in itertools.pairwise(edges)),
    ]
    names.append(f"{edges[-1]:g} or more")
    parts = {
        name: (values >= low) & (values < high)
        for name, (low, high) in zip(names, itertools.pairwise(ends), strict=True)
    }
    parts[""] = np.isnan(values)
    return {name: chosen for name, chosen in parts.items() if chosen.any()}
