"""The nodal stage in one paragraph, as a radiologist dictates it, from the facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preop.staging.nodal import N, NodalStage
from preop.staging.stations import Side, Station

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class NodeFinding:
    """A node as it is dictated.

    Attributes
    ----------
    station
        Its station.
    short_axis_mm
        Short axis in mm, None where not measured.
    suv_max
        Maximum standardised uptake value, None where there is no PET.
    """

    station: Station
    short_axis_mm: float | None = None
    suv_max: float | None = None


@dataclass(frozen=True)
class _Region:
    """Stations that are spoken of together, and the words for having none of them."""

    name: str
    words: str
    stations: tuple[Station, ...]


def dictate(stage: NodalStage, findings: Sequence[NodeFinding] = ()) -> str:
    """Say the stage and what it rests on.

    The stations that decide the category come first, with the short axis of their largest node and their highest
    uptake; then the others by name; then the regions that are free.

    >>> from preop.staging import Station, Side, nodal_stage
    >>> nodes = [NodeFinding(Station.parse("4R"), 14, 8.1), NodeFinding(Station.parse("10R"), 9, 4.2)]
    >>> dictate(nodal_stage([node.station for node in nodes], Side.RIGHT), nodes)
    'N2a: one ipsilateral mediastinal station (4R, 14 mm, SUVmax 8.1); hilar 10R; no contralateral or supraclavicular uptake.'
    """
    if stage.category is N.NX and not stage.involved:
        return f"NX: {_continued(stage.reason)}"
    regions = _regions(stage)
    present = [region for region in regions if region.stations]
    deciding = {N.N3: 0, N.N2: 1, N.N2A: 1, N.N2B: 1, N.N1: 2}.get(stage.category, 0)
    spoken = [
        _clause(region, findings, measured=stage.category is N.NX or _weight(region) == deciding, stage=stage)
        for region in present
    ]
    named = {region.name for region in present}
    free = [
        f"ipsilateral {region.words}" if f"contralateral {region.words}" in named else region.words
        for region in reversed(regions)
        if not region.stations
    ]
    if free:
        spoken.append(f"no {_or(list(dict.fromkeys(free)))} uptake")
    if stage.category is N.NX:
        spoken.insert(0, f"the side of the primary is unknown, {stage.at_least} or {stage.at_most}")
    return f"{stage.category}: {'; '.join(spoken)}."


def _regions(stage: NodalStage) -> list[_Region]:
    """All regions, the most severe first; sides are named only where the primary has one."""
    primary = stage.primary if stage.primary in (Side.RIGHT, Side.LEFT) else None
    own = [s for s in stage.involved if s.number != 1 and (primary is None or s.side in (primary, Side.MIDLINE))]
    other = [s for s in stage.involved if s.number != 1 and s not in own]
    regions = [_Region("supraclavicular", "supraclavicular", _where(stage.involved, 1, 1))]
    if primary is not None:
        regions += [
            _Region("contralateral mediastinal", "contralateral", _where(other, 2, 9)),
            _Region("contralateral hilar", "contralateral", _where(other, 10, 14)),
        ]
        if other:  # One of both is enough to be not free.
            regions = [region for region in regions if region.stations or region.words != "contralateral"]
    mediastinal = "ipsilateral mediastinal" if primary is not None else "mediastinal"
    intrapulmonary = _where(own, 12, 14)
    return [
        *regions,
        _Region(mediastinal, "mediastinal", _where(own, 2, 9)),
        _Region("hilar", "hilar", _where(own, 10, 11)),
        *([_Region("intrapulmonary", "intrapulmonary", intrapulmonary)] if intrapulmonary else []),
    ]


def _where(stations: Sequence[Station], first: int, last: int) -> tuple[Station, ...]:
    return tuple(station for station in stations if first <= station.number <= last)


def _weight(region: _Region) -> int:
    """0 for what makes N3, 1 for N2, 2 for N1."""
    if region.words in ("supraclavicular", "contralateral"):
        return 0
    return 1 if region.words == "mediastinal" else 2


def _clause(region: _Region, findings: Sequence[NodeFinding], *, measured: bool, stage: NodalStage) -> str:
    names = [_measured(station, findings) if measured else str(station) for station in region.stations]
    if region.words == "mediastinal" and stage.category in (N.N2, N.N2A, N.N2B):
        count = len({station.on_map for station in region.stations})
        word = COUNTS[count] if count < len(COUNTS) else str(count)
        return f"{word} {region.name} station{'s' if count > 1 else ''} ({'; '.join(names)})"
    return f"{region.name} {'; '.join(names)}" if not measured else f"{region.name} ({'; '.join(names)})"


def _measured(station: Station, findings: Sequence[NodeFinding]) -> str:
    """Station with the short axis of its largest node and its highest uptake, where they are known."""
    nodes = [finding for finding in findings if finding.station is station]
    axes = [node.short_axis_mm for node in nodes if node.short_axis_mm is not None]
    uptakes = [node.suv_max for node in nodes if node.suv_max is not None]
    parts = [str(station)]
    if axes:
        parts.append(f"{max(axes):.0f} mm")
    if uptakes:
        parts.append(f"SUVmax {max(uptakes):.1f}")
    return ", ".join(parts)


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _continued(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
