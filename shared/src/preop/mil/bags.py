"""Bags of instances: the lymph nodes, metastases or tiles of a patient, and what is known of them together.

Every label is an interval of the number of positive instances: exactly 3 is (3, 3), "2 to 4" is (2, 4), pN0 is (0, 0),
pN+ is (1, infinity), and nothing known is (0, infinity).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from preop.errors import InvalidInputError


@dataclass(frozen=True)
class Part:
    """Instances of a bag that were counted by themselves: the nodes of one side, or of one field of a dissection.

    Attributes
    ----------
    rows
        Of these instances in the bag.
    low, high
        Fewest and most positive ones that are possible after the report.
    found
        Chance that a positive one of them enters the count; None: as the head is told.
    leak
        Mean number of counted positives that are none of them; None: as the head is told.
    """

    rows: tuple[int, ...]
    low: float
    high: float
    found: float | None = None
    leak: float | None = None


@dataclass(frozen=True, eq=False)
class Bag:
    """The instances of a patient (or scan, or slide), and how many of them are positive.

    Attributes
    ----------
    name
        Unique among the bags of a training run.
    instances
        What the encoder takes: one or more tensors, each with the n instances as its first axis, such as images
        (n, 3, 48, 48, 48) and sizes (n, 2), or stored features alone (n, f). Any number type, to save memory
        (float16, uint8), also memory-mapped: fractions reach the encoder as float32, whole numbers as they are, for it
        may need only a part of them. No instance at all (n = 0) is fine.
    low, high
        Whole numbers: fewest and most positive instances that are possible after the reference standard; ``high`` may
        be infinite.
    instance_labels
        1 and 0 for positive and negative instances (n,), where they are known; only the oracle head learns from them.
    patient
        Bags of one patient (or of one group of patients who are the same person) stay on one side of every split; left
        empty, a bag is a patient of its own.
    centre
        Hospital, for leaving one out.
    may_lack
        Whether NaN stands for what could not be measured, which the encoder then has to replace.
    parts
        Where counts are known of parts of the bag: these alone are what heads that count learn from, and nothing is said of
        instances in none of them. All others, and the folds, go by ``low`` and ``high``.

    Raises
    ------
    InvalidInputError
        If the tensors differ in their number of instances, a number is not finite, or the label is no interval of a
        count.
    """

    name: str
    instances: tuple[Tensor, ...]
    low: float = 0.0
    high: float = math.inf
    instance_labels: Tensor | None = None
    patient: str = ""
    centre: str = ""
    may_lack: bool = False
    parts: tuple[Part, ...] | None = None

    def __post_init__(self) -> None:
        parts = self.instances if self.instance_labels is None else (*self.instances, self.instance_labels)
        found = [len(part) if part.ndim else None for part in parts]
        if not self.instances or None in found or len(set(found)) > 1:
            raise InvalidInputError(
                f"The bag {self.name} has tensors of {found} instances; expected the same number in each."
            )
        for part in parts:
            if part.is_floating_point() and (count := self._unusable(part)):
                raise InvalidInputError(
                    f"The bag {self.name} has {count} of {part.numel()} numbers that are not finite"
                    f"{'; in float16, what is over 65,504 becomes infinite' if part.dtype == torch.float16 else ''}; expected "
                    "none."
                )
        counted = self.parts or ()
        labels = [("is", self.low, self.high), *(("has a part that is", part.low, part.high) for part in counted)]
        for what, low, high in labels:
            if not _is_interval(low, high):
                raise InvalidInputError(
                    f"The bag {self.name} {what} labelled with {low:g} to {high:g} positive instances; expected whole numbers, "
                    "from 0, the first at most the second."
                )
        rows = [row for each in counted for row in each.rows]
        if len(set(rows)) < len(rows) or not set(rows) <= set(range(self.size)):
            raise InvalidInputError(
                f"The parts of the bag {self.name} name the instances {', '.join(map(str, rows))}; expected each of its "
                f"{self.size} at most once."
            )
        for each in counted:
            if not 0 < (1 if each.found is None else each.found) <= 1 or (each.leak or 0) < 0:
                raise InvalidInputError(
                    f"A part of the bag {self.name} has found {each.found} and leak {each.leak}; expected a probability above "
                    "0, and a mean of at least 0."
                )

    def _unusable(self, part: Tensor) -> int:
        """Number of numbers that nothing can be learned from."""
        return int((part.isinf() if self.may_lack else ~torch.isfinite(part)).sum())

    @property
    def size(self) -> int:
        """Number of instances."""
        return len(self.instances[0])

    @property
    def positive(self) -> bool | None:
        """Whether at least one instance is positive; None where the label leaves that open."""
        return True if self.low >= 1 else (False if self.high == 0 else None)

    @property
    def owner(self) -> str:
        """Whose bag this is."""
        return self.patient or self.name


def _is_interval(low: float, high: float) -> bool:
    whole = float(low).is_integer() and (math.isinf(high) or float(high).is_integer())
    return whole and 0 <= low <= high


class Parts(NamedTuple):
    """All parts of the bags of a batch, p of them; a bag without parts is one part.

    Attributes
    ----------
    owner
        Number of the bag of each part (p,).
    rows, mask
        Its instances in the bag, padded (p, k), and which of them are real.
    low, high
        What was counted (p,).
    found, leak
        Chance of a positive one to be counted, and mean of others that are (p,); NaN: as the head is told.
    """

    owner: Tensor
    rows: Tensor
    mask: Tensor
    low: Tensor
    high: Tensor
    found: Tensor
    leak: Tensor

    def to(self, device: torch.device) -> Parts:
        """Give the same on a device."""
        return Parts(*(each.to(device) for each in self))


class Batch(NamedTuple):
    """Bags that go through a network together: their instances one after another, without padding.

    Attributes
    ----------
    instances
        Each (total, ...).
    sizes
        Number of instances of each bag (b,), on the processor.
    low, high
        Label of each bag (b,).
    labels
        Of the instances, padded (b, n), where all bags have them.
    parts
        What was counted by itself, where that is so of any bag.
    """

    instances: tuple[Tensor, ...]
    sizes: Tensor
    low: Tensor
    high: Tensor
    labels: Tensor | None
    parts: Parts | None = None

    def to(self, device: torch.device) -> Batch:
        """Give the same on a device, fractions in float32; ``sizes`` stay."""
        labels = None if self.labels is None else self.labels.to(device)
        moved = tuple(moved_to(device, part) for part in self.instances)
        parts = None if self.parts is None else self.parts.to(device)
        return Batch(moved, self.sizes, self.low.to(device), self.high.to(device), labels, parts)


def moved_to(device: torch.device, part: Tensor) -> Tensor:
    """Put a tensor of instances on a device, fractions in float32."""
    return part.to(device, torch.float32) if part.is_floating_point() else part.to(device)


def check_alike(bags: Sequence[Bag]) -> None:
    """Refuse bags whose instances are not of the same kind, which no network can take together.

    Raises
    ------
    InvalidInputError
        If bags differ in their number of tensors, or in the shape or kind of numbers of an instance.
    """
    for bag in bags[1:]:
        if _kind(bag) != _kind(bags[0]):
            raise InvalidInputError(
                f"The instances of the bag {bag.name} are {_told(bag)} and those of the bag {bags[0].name} are "
                f"{_told(bags[0])}; expected the same in all bags."
            )


def _kind(bag: Bag) -> list[tuple[torch.Size, bool]]:
    return [(part.shape[1:], part.is_floating_point()) for part in bag.instances]


def _told(bag: Bag) -> str:
    shapes = (" x ".join(map(str, part.shape[1:])) or "1" for part in bag.instances)
    kinds = ("fractions" if part.is_floating_point() else "whole numbers" for part in bag.instances)
    return " and ".join(f"{shape} {kind}" for shape, kind in zip(shapes, kinds, strict=True))


def collate(bags: Sequence[Bag]) -> Batch:
    """Put bags of the same kind into a batch.

    Raises
    ------
    InvalidInputError
        As :func:`check_alike`.
    """
    check_alike(bags)
    instances = tuple(
        torch.cat(parts) if len(bags) > 1 else parts[0] for parts in zip(*(bag.instances for bag in bags), strict=True)
    )
    sizes = torch.tensor([bag.size for bag in bags])
    labels = [bag.instance_labels for bag in bags if bag.instance_labels is not None]
    known = len(labels) == len(bags)
    return Batch(
        instances,
        sizes,
        low=torch.tensor([float(bag.low) for bag in bags]),
        high=torch.tensor([float(bag.high) for bag in bags]),
        labels=pad(torch.cat(labels).float()[:, None], sizes)[0][..., 0] if known else None,
        parts=parts_of(bags),
    )


def parts_of(bags: Sequence[Bag]) -> Parts | None:
    """Collect what was counted by itself; None where nothing was but whole bags."""
    if all(bag.parts is None for bag in bags):
        return None
    pairs = [
        (number, part)
        for number, bag in enumerate(bags)
        for part in ((Part(tuple(range(bag.size)), bag.low, bag.high),) if bag.parts is None else bag.parts)
    ]
    longest = max([1, *(len(part.rows) for _, part in pairs)])
    rows = torch.zeros(len(pairs), longest, dtype=torch.long)
    mask = torch.zeros(len(pairs), longest, dtype=torch.bool)
    for place, (_, part) in enumerate(pairs):
        rows[place, : len(part.rows)] = torch.tensor(part.rows, dtype=torch.long)
        mask[place, : len(part.rows)] = True
    numbers = [
        (part.low, part.high, *(math.nan if value is None else value for value in (part.found, part.leak)))
        for _, part in pairs
    ]
    low, high, found, leak = torch.tensor(numbers, dtype=torch.float32).reshape(-1, 4).unbind(1)
    return Parts(torch.tensor([number for number, _ in pairs], dtype=torch.long), rows, mask, low, high, found, leak)


def pad(features: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Lay features of instances out bag by bag, with zeros behind the shorter ones.

    Parameters
    ----------
    features
        Of all instances, one bag after another, (total, f).
    sizes
        Number of instances of each bag (b,), which sum to the total.

    Returns
    -------
    Features (b, n, f) and which of them are real (b, n); n is the longest bag, at least 1.
    """
    longest = max(1, int(sizes.max()))
    mask = torch.arange(longest, device=features.device) < sizes.to(features.device)[:, None]
    padded = features.new_zeros(len(sizes), longest, features.shape[1])
    padded[mask] = features
    return padded, mask


def batches(sizes: Sequence[int], budget: int, generator: torch.Generator | None = None) -> list[list[int]]:
    """Split bags into batches of at most ``budget`` instances, each at least one bag, of similar sizes.

    Parameters
    ----------
    sizes
        Number of instances of each bag.
    generator
        Draws another composition and order of the batches: sizes in a batch then differ by about a fifth. Left out,
        bags come in order of their size.

    Returns
    -------
    Numbers of the bags of each batch.
    """
    sortable = torch.tensor([float(max(size, 1)) for size in sizes])
    if generator is not None:
        sortable = sortable * torch.exp(0.2 * torch.randn(len(sizes), generator=generator))
    found: list[list[int]] = []
    room = 0
    for number in torch.argsort(sortable, stable=True).tolist():
        # A bag without instances takes the room of one, so that a batch stays finite.
        need = max(sizes[number], 1)
        if not found or need > room:
            found.append([])
            room = budget
        found[-1].append(number)
        room -= need
    if generator is None:
        return found
    return [found[number] for number in torch.randperm(len(found), generator=generator).tolist()]


def digest(bags: Sequence[Bag]) -> str:
    """SHA-256 of names, labels and instances of bags."""
    content = hashlib.sha256()
    for bag in bags:
        content.update(repr((bag.name, bag.low, bag.high, bag.owner, bag.centre, bag.parts)).encode())
        labels = () if bag.instance_labels is None else (bag.instance_labels,)
        for part in (*bag.instances, *labels):
            content.update(repr((part.dtype, tuple(part.shape))).encode())
            content.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().data if part.numel() else b"")
    return content.hexdigest()
