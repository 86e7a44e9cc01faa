"""The nodal category of lung cancer from the stations involved and the side of the primary.

Sources: UICC TNM classification of malignant tumours, 8th edition (2017) and 9th edition (valid from 2025), lung,
regional lymph nodes: N1 ipsilateral peribronchial, hilar and intrapulmonary; N2 ipsilateral mediastinal and
subcarinal, in the 9th edition N2a a single N2 station and N2b several; N3 contralateral mediastinal or hilar, and any
scalene or supraclavicular node. Huang et al., The IASLC Lung Cancer Staging Project: proposals for the N descriptors
in the ninth edition, J Thorac Oncol 2024;19:766-85.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from preop.errors import InvalidInputError
from preop.staging.stations import Side, Station


class Edition(IntEnum):
    """Edition of the TNM classification."""

    EIGHTH = 8
    NINTH = 9


class N(StrEnum):
    """Nodal category; the order of the members is the order of severity, NX apart."""

    N0 = "N0"
    N1 = "N1"
    N2 = "N2"
    N2A = "N2a"
    N2B = "N2b"
    N3 = "N3"
    NX = "NX"

    @property
    def severity(self) -> int:
        """Place in the order N0, N1, N2, N2a, N2b, N3."""
        return list(N).index(self)


def categories(edition: Edition) -> tuple[N, ...]:
    """The categories of an edition from the least to the most severe, NX apart."""
    if edition is Edition.EIGHTH:
        return (N.N0, N.N1, N.N2, N.N3)
    return (N.N0, N.N1, N.N2A, N.N2B, N.N3)


@dataclass(frozen=True)
class NodalStage:
    """A nodal category with what led to it.

    Attributes
    ----------
    category
        The category, NX where it cannot be said.
    edition
        Edition of TNM.
    primary
        Side of the primary, None where unknown.
    involved
        Stations involved, each once, in the order of the map.
    at_least, at_most
        Bounds of the category: equal to it, unless it is NX.
    reason
        Why, in one sentence.
    """

    category: N
    edition: Edition
    primary: Side | None
    involved: tuple[Station, ...]
    at_least: N
    at_most: N
    reason: str


def category_of_station(station: Station, primary: Side) -> N:
    """N1, N2 or N3: what one station, involved alone, means for a primary on a side (N2 not yet split into a and b).

    Stations without a side, 7 and an unsided 3a or 3p, count as ipsilateral. A primary in the midline has no
    contralateral side: both sides count as ipsilateral, the lower category where there is doubt (UICC, general rule 4).
    """
    if station.number == 1:
        return N.N3
    if Side.MIDLINE not in (station.side, primary) and station.side is not primary:
        return N.N3
    return N.N1 if station.number >= 10 else N.N2


def nodal_stage(
    stations: Iterable[Station] | None, primary: Side | None, edition: Edition = Edition.NINTH
) -> NodalStage:
    """Apply TNM to the stations involved.

    Parameters
    ----------
    stations
        Stations involved; empty where the nodes were assessed and none is involved, None where they were not assessed.
    primary
        Side of the primary; None where unknown. Then the category is given where it is the same for a tumour of
        either lung (no station, station 1, station 7 alone, both sides), and NX with its bounds where it is not.
    """
    if stations is None:
        return NodalStage(N.NX, edition, primary, (), N.N0, N.N3, "The lymph nodes were not assessed.")
    involved = tuple(sorted(set(stations), key=list(Station).index))
    if primary is not None:
        return _stage_of_known_side(involved, primary, edition)
    right, left = (_stage_of_known_side(involved, side, edition) for side in (Side.RIGHT, Side.LEFT))
    low, high = sorted((right.category, left.category), key=lambda category: category.severity)
    if low is high:
        reason = f"The side of the primary is unknown, but {_list(involved)} would be {low} on either side."
        return NodalStage(low, edition, None, involved, low, high, reason if involved else right.reason)
    reason = (
        f"The side of the primary is unknown: {_list(involved)} would be {right.category} for a tumour of the right lung"
        f" and {left.category} for one of the left."
    )
    return NodalStage(N.NX, edition, None, involved, low, high, reason)


def _stage_of_known_side(involved: tuple[Station, ...], primary: Side, edition: Edition) -> NodalStage:
    of = {N.N1: [], N.N2: [], N.N3: []}  # type: dict[N, list[Station]]
    for station in involved:
        of[category_of_station(station, primary)].append(station)
    mediastinal = len({station.on_map for station in of[N.N2]})
    if of[N.N3]:
        category, reason = N.N3, f"Contralateral or supraclavicular: {_list(of[N.N3])}."
    elif of[N.N2]:
        category = _split_n2(mediastinal, edition)
        count = "one station" if mediastinal == 1 else f"{mediastinal} stations"
        reason = f"Ipsilateral mediastinal, {count}: {_list(of[N.N2])}."
    elif of[N.N1]:
        category, reason = N.N1, f"Ipsilateral hilar or intrapulmonary only: {_list(of[N.N1])}."
    else:
        category, reason = N.N0, "No station is involved."
    if primary is Side.MIDLINE and any(station.side is not Side.MIDLINE for station in involved):
        reason += " The primary lies in the midline, so no side is contralateral."
    return NodalStage(category, edition, primary, involved, category, category, reason)


def _split_n2(stations: int, edition: Edition) -> N:
    """N2a is exactly one station and N2b several (9th edition); the 8th knows N2 only."""
    if edition is Edition.EIGHTH:
        return N.N2
    return N.N2A if stations == 1 else N.N2B


def _list(stations: Iterable[Station]) -> str:
    return ", ".join(map(str, stations))


def stages_of(texts: Sequence[str]) -> list[N]:
    """Read categories as tables write them: "N2a", "pN0", "n3".

    Raises
    ------
    InvalidInputError
        If one is none.
    """
    names = {str(category).lower(): category for category in N}
    found = []
    for text in texts:
        name = text.strip().lower().removeprefix("y").removeprefix("p").removeprefix("c")
        if name not in names:
            raise InvalidInputError(f"The nodal category is '{text}'; expected one of {', '.join(map(str, N))}.")
        found.append(names[name])
    return found
