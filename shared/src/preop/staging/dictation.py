"""The nodal stage in one paragraph, as a radiologist dictates it, from the facts alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


NAMES = {10: "hilar", 11: "interlobar", 12: "lobar", 13: "segmental", 14: "subsegmental"}
"""Stations 10 to 14 by the names of the IASLC map (Rusch et al. 2009, table 2)."""


@dataclass(frozen=True)
class _Region:
    """Stations that are spoken of together, and the words for having none of them.

    Attributes
    ----------
    name, words
        What they are called where one is involved, and where none is.
    stations
        Those involved.
    whole
        All that belong to it.
    """

    name: str
    words: str
    stations: tuple[Station, ...]
    whole: tuple[Station, ...]


def dictate(
    stage: NodalStage, findings: Sequence[NodeFinding] = (), not_assessed: Collection[Station] = frozenset()
) -> str:
    """Say the stage and what it rests on.

    The stations that decide the category come first, with the short axis of their largest node and their highest
    uptake; then the others by name; then the regions that are free. A region with a station that was not assessed is not
    called free.

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
    free = _free(regions, not_assessed)
    if free:
        spoken.append(f"no {_or(free)} uptake")
    if stage.category is N.NX:
        spoken.insert(0, f"the side of the primary is unknown, {stage.at_least} or {stage.at_most}")
    return f"{stage.category}: {'; '.join(spoken) or 'no uptake in the stations that were assessed'}."


def _free(regions: Sequence[_Region], not_assessed: Collection[Station]) -> list[str]:
    """Words for the regions in which nothing is involved and all was assessed, the least severe first."""
    named = {region.words for region in regions if region.stations}
    unknown = {region.words for region in regions if not_assessed and set(region.whole) & set(not_assessed)}
    opposite = {
        "mediastinal" if region.whole[0].number < 10 else "hilar"
        for region in regions
        if region.stations and region.words == "contralateral"
    }
    free = [
        f"ipsilateral {region.words}" if region.words in opposite else region.words
        for region in reversed(regions)
        if region.words not in named | unknown | {"intrapulmonary"}
    ]
    return list(dict.fromkeys(free))


def _regions(stage: NodalStage) -> list[_Region]:
    """All regions, the most severe first; sides are named only where the primary has one."""
    primary = stage.primary if stage.primary in (Side.RIGHT, Side.LEFT) else None

    def region(name: str, words: str, numbers: range, *, own: bool | None = None) -> _Region:
        whole = tuple(
            station
            for station in Station
            if station.number in numbers
            and (own is None or (primary is None or station.side in (primary, Side.MIDLINE)) is own)
        )
        return _Region(name, words, tuple(station for station in stage.involved if station in whole), whole)

    contralateral = []
    if primary is not None:
        contralateral = [
            region("contralateral mediastinal", "contralateral", range(2, 10), own=False),
            *(
                region(f"contralateral {name}", "contralateral", range(number, number + 1), own=False)
                for number, name in NAMES.items()
            ),
        ]
    mediastinal = "ipsilateral mediastinal" if primary is not None else "mediastinal"
    return [
        region("supraclavicular", "supraclavicular", range(1, 2)),
        *contralateral,
        region(mediastinal, "mediastinal", range(2, 10), own=True),
        *(
            region(name, "hilar" if number < 12 else "intrapulmonary", range(number, number + 1), own=True)
            for number, name in NAMES.items()
        ),
    ]


def _weight(region: _Region) -> int:
    """0 for what makes N3, 1 for N2, 2 for N1."""
    if region.words in ("supraclavicular", "contralateral"):
        return 0
    return 1 if region.words == "mediastinal" else 2


def _clause(region: _Region, findings: Sequence[NodeFinding], *, measured: bool, stage: NodalStage) -> str:
    names = [_measured(station, findings) if measured else _named(station) for station in region.stations]
    if region.words == "mediastinal" and stage.category in (N.N2, N.N2A, N.N2B):
        count = len({station.on_map for station in region.stations})
        word = COUNTS[count] if count < len(COUNTS) else str(count)
        return f"{word} {region.name} station{'s' if count > 1 else ''} ({'; '.join(names)})"
    return f"{region.name} {'; '.join(names)}" if not measured else f"{region.name} ({'; '.join(names)})"


def _named(station: Station) -> str:
    return "subcarinal 7" if station is Station.SUBCARINAL else str(station)


def _measured(station: Station, findings: Sequence[NodeFinding]) -> str:
    """Station with the short axis of its largest node and its highest uptake, where they are known."""
    nodes = [finding for finding in findings if finding.station is station]
    axes = [node.short_axis_mm for node in nodes if node.short_axis_mm is not None]
    uptakes = [node.suv_max for node in nodes if node.suv_max is not None]
    parts = [_named(station)]
    if axes:
        parts.append(f"{max(axes):.0f} mm")
    if uptakes:
        parts.append(f"SUVmax {max(uptakes):.1f}")
    return ", ".join(parts)


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _continued(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
