"""Which series of a patient each input of an algorithm gets: by its rules, or as a person says; and why not the others."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from preop.dicom.series import Content, Series
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.series_rules import SeriesRule
from preop.imaging import matching_regions

_WITH = (
    "*contrast*",
    "*enhanced*",
    "*portal*",
    "*venous*",
    "*arter*",
    "*+c*",
    "*c+*",
    "*+km*",
    "*mit km*",
    "*post*gd*",
    "*gad*",
    "*t1*post*",
)
_WITHOUT = ("*unenhanced*", "*non*contrast*", "*without*contrast*", "*nati*", "*plain*", "*ohne*km*", "*-c*", "*c-*")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7."
_MASKS = {"RTSTRUCT", "SEG"}


@dataclass(frozen=True)
class Correction:
    """What a person says of a series: which inputs it is, none or several, and which region of it is meant by each."""

    uses: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Give each input with its region; one region is that of all."""
        regions = self.regions * len(self.uses) if len(self.regions) == 1 else self.regions
        return itertools.zip_longest(self.uses, regions[: len(self.uses)], fillvalue="")


@dataclass(frozen=True, eq=False)
class Choice:
    """One series of a patient, and what became of it.

    Attributes
    ----------
    use
        Slug of the input that it is, "" where it was passed over.
    region
        Name or pattern of the contours or segments that are meant.
    reason
        Why it was chosen, or passed over.
    """

    series: Series
    use: str = ""
    region: str = ""
    reason: str = ""
    by_person: bool = False


@dataclass
class _Patient:
    """The series of one patient while they are shared out."""

    algorithm: Algorithm
    series: Sequence[Series]
    corrections: Mapping[str, Correction]
    chosen: dict[str, Choice] = field(default_factory=dict)
    passed: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.series:
            for use, region in self.corrections.get(each.name, ()):
                self.chosen[use] = Choice(each, use, region, "chosen by a person", by_person=True)

    def free(self) -> list[Series]:
        """Series that no person has decided on."""
        return [each for each in self.series if each.name not in self.corrections]

    def pass_over(self, series: Series, reason: str) -> None:
        reasons = self.passed.setdefault(series.name, [])
        if reason not in reasons:
            reasons.append(reason)


def choose(
    algorithm: Algorithm, series: Sequence[Series], corrections: Mapping[str, Correction] | None = None
) -> list[Choice]:
    """Share the series of one patient out among the inputs of an algorithm.

    All scans come from one examination where one has them all: of several the one with most of them, then the earliest, for
    later ones may be after treatment.

    Parameters
    ----------
    corrections
        What a person says, by the names of series; the rules decide on the others alone.

    Returns
    -------
    One choice a series, in their order; more where a series is several inputs, such as contours on two scans.
    """
    patient = _Patient(algorithm, series, corrections or {})
    sockets = [socket for socket in algorithm.inputs if socket.kind.is_image and socket.series]
    scans = [socket for socket in sockets if not _is_mask(socket)]
    fitting = {socket.slug: _fitting(patient, socket) for socket in scans}
    for socket in scans:
        if socket.slug not in patient.chosen:
            _choose_scan(patient, socket, fitting, scans)
    for socket in sockets:
        if _is_mask(socket) and socket.slug not in patient.chosen:
            _choose_regions(patient, socket)
    used: dict[str, list[Choice]] = {}
    for choice in patient.chosen.values():
        used.setdefault(choice.series.name, []).append(choice)
    return [choice for each in series for choice in used.get(each.name) or [_passed_over(patient, each)]]


def _is_mask(socket: Socket) -> bool:
    return socket.series is not None and bool(_MASKS.intersection(socket.series.modality))


def _passed_over(patient: _Patient, series: Series) -> Choice:
    if series.name in patient.corrections:
        return Choice(series, reason="passed over by a person", by_person=True)
    modality = series.text("Modality")
    reasons = patient.passed.get(series.name) or [
        f"{patient.algorithm.name} takes no {modality or 'series of this kind'}"
    ]
    return Choice(series, reason="; ".join(reasons))


def _fitting(patient: _Patient, socket: Socket) -> list[Series]:
    """Series that keep all rules of an input; of the others is noted what they lack."""
    found = []
    for each in patient.free():
        if each.text("Modality") not in _rule(socket).modality or each.content is Content.REGIONS:
            continue
        lacks = _lacks(each, _rule(socket))
        if lacks:
            patient.pass_over(each, f"no {socket.slug}: {lacks}")
        else:
            found.append(each)
    return found


def _choose_scan(
    patient: _Patient, socket: Socket, fitting: Mapping[str, list[Series]], scans: Sequence[Socket]
) -> None:
    rule = _rule(socket)
    taken = {choice.series.name for choice in patient.chosen.values()}
    candidates = [each for each in fitting[socket.slug] if each.name not in taken]
    anchor = patient.chosen.get(rule.same_examination_as or "")
    if rule.same_examination_as:
        study = anchor.series.text("StudyInstanceUID") if anchor else ""
        for each in [each for each in candidates if each.text("StudyInstanceUID") != study]:
            candidates.remove(each)
            patient.pass_over(each, f"no {socket.slug}: it is not of the examination of {rule.same_examination_as}")
    if not candidates:
        return
    examination = min(
        (each.text("StudyInstanceUID") for each in candidates), key=_by_examination(candidates, fitting, scans)
    )
    of_it = [each for each in candidates if each.text("StudyInstanceUID") == examination]
    best = min(of_it, key=lambda each: (*_preference(each, rule), *_place(each)))
    for each in candidates:
        if each not in of_it:
            patient.pass_over(each, f"no {socket.slug}: another examination has more of the inputs, or is earlier")
        elif each is not best:
            patient.pass_over(
                each, f"no {socket.slug}: {best.text('SeriesDescription') or best.name} {_better(best, each, rule)}"
            )
    why = "the only one that fits" if len(candidates) == 1 else f"the best of {len(candidates)} that fit"
    patient.chosen[socket.slug] = Choice(best, socket.slug, reason=why)


def _by_examination(
    candidates: Iterable[Series], fitting: Mapping[str, list[Series]], scans: Sequence[Socket]
) -> Callable[[str], tuple[int, str, str]]:
    """Order of examinations: those with the most inputs first, then the earliest."""
    dates = {each.text("StudyInstanceUID"): each.text("StudyDate") + each.text("StudyTime") for each in candidates}

    def key(study: str) -> tuple[int, str, str]:
        has = sum(any(each.text("StudyInstanceUID") == study for each in fitting[socket.slug]) for socket in scans)
        return -has, dates[study], study

    return key


def _place(series: Series) -> tuple[float, str]:
    number = series.number("SeriesNumber")
    return (1e9 if number is None else number, series.name)


def _lacks(series: Series, rule: SeriesRule) -> str:
    """Say which rule a series breaks; "" of one that keeps all."""
    return next(_broken(series, rule), "")


def _broken(series: Series, rule: SeriesRule) -> Iterator[str]:
    described = series.described
    if rule.described_as and not _fits(described, rule.described_as):
        yield f"its description fits none of {', '.join(rule.described_as)}"
    yield from (f"its description fits {each}" for each in rule.not_described_as if _fits(described, [each]))
    if _is_of_another_region(series, rule):
        yield f"its header says that it shows another body part ({series.text('BodyPartExamined')})"
    kernel = _kernel(series)
    if kernel and _fits(kernel, rule.not_kernels):
        yield f"its kernel {kernel} is a sharp one"
    if f"{series.text('SOPClassUID')}.".startswith(_SECONDARY_CAPTURE):
        yield "it is a secondary capture: a picture of a screen"
    if "LOCALIZER" in series.text("ImageType").upper():
        yield "it is a localizer"
    if rule.contrast is not None and has_contrast(series) is not rule.contrast:
        yield "it is without contrast" if rule.contrast else "it is with contrast"
    if series.slices < rule.least_slices:
        yield f"it has {series.slices} slices, expected {rule.least_slices} or more"
    for tag, allowed, what in (
        ("SliceThickness", rule.thickness_mm, "mm thick slices"),
        ("RepetitionTime", rule.repetition_time_ms, "ms repetition time"),
        ("EchoTime", rule.echo_time_ms, "ms echo time"),
    ):
        value = series.number(tag)
        if allowed is not None and value is not None and not allowed[0] <= value <= allowed[1]:
            yield f"{value:g} {what}, expected {allowed[0]:g} to {allowed[1]:g}"
    if rule.corrected and "CorrectedImage" in series.header and "ATTN" not in series.text("CorrectedImage"):
        yield "it is not corrected for attenuation"


def _is_of_another_region(series: Series, rule: SeriesRule) -> bool:
    """Whether BodyPartExamined is plainly another region, and the description names no fitting one.

    Scanners fill the tag from a protocol that was begun for something else, so that words of a description count for more.
    """
    parts = series.text("BodyPartExamined").split("\\")
    return all(_fits(part, rule.not_body_parts) for part in parts) and not _fits(
        series.described, rule.unless_described_as
    )


def _kernel(series: Series) -> str:
    return series.text("ConvolutionKernel").split("\\")[0]


def _preference(series: Series, rule: SeriesRule) -> tuple[float, ...]:
    """Order of those that keep all rules: the smallest is the best."""
    described = series.described
    words = next((place for place, each in enumerate(rule.preferred) if _fits(described, [each])), len(rule.preferred))
    soft = 0 if not rule.kernels or _fits(_kernel(series), rule.kernels) else 1
    derived = (
        1 if "DERIVED" in series.text("ImageType").upper() or "SECONDARY" in series.text("ImageType").upper() else 0
    )
    turned = 0 if _is_axial(series) else 1
    thickness = series.number("SliceThickness")
    apart = 0.0 if rule.best_thickness_mm is None or thickness is None else abs(thickness - rule.best_thickness_mm)
    return float(words), float(soft), float(turned), float(derived), round(apart, 3), -float(series.slices)


_WORDS = (
    "is described better",
    "has a softer kernel",
    "is axial",
    "is original",
    "has a better slice thickness",
    "has more slices",
)


def _better(best: Series, other: Series, rule: SeriesRule) -> str:
    """Say in what the chosen one is better."""
    pairs = zip(_preference(best, rule), _preference(other, rule), _WORDS, strict=True)
    return next((words for one, two, words in pairs if one < two), "comes first in the examination")


def _is_axial(series: Series) -> bool:
    try:
        turned = [float(each) for each in series.header["ImageOrientationPatient"]]
        return abs(turned[0] * turned[4] - turned[1] * turned[3]) > 0.7
    except (KeyError, ValueError, IndexError):
        return True


def has_contrast(series: Series) -> bool:
    """Whether contrast was given, by the header or the words of the description."""
    described = series.described
    if _fits(described, _WITHOUT):
        return False
    return bool(series.text("ContrastBolusAgent")) or _fits(described, _WITH)


def _fits(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(text.casefold().strip(), each.casefold()) for each in patterns)


def _choose_regions(patient: _Patient, socket: Socket) -> None:
    """Find the contours or segments that were drawn on the chosen scan."""
    scan = patient.chosen.get(socket.segmentation_of or "")
    known = {each.text("SeriesInstanceUID") for each in patient.series}
    named: list[tuple[Series, str]] = []
    for each in patient.free():
        if each.content is not Content.REGIONS or each.text("Modality") not in _rule(socket).modality:
            continue
        if scan is None:
            patient.pass_over(each, f"no {socket.slug}: there is no {socket.segmentation_of}")
            continue
        if not _drawn_on(each, scan.series, known):
            patient.pass_over(each, f"no {socket.slug}: it was drawn on another series")
            continue
        region, problem = _region(each, socket)
        if problem:
            patient.pass_over(each, f"no {socket.slug}: {problem}")
        else:
            named.append((each, region))
    if not named:
        return
    best, region = max(named, key=lambda pair: (pair[0].text("SeriesDate"), pair[0].text("SeriesTime"), pair[0].name))
    for each, _ in named:
        if each is not best:
            patient.pass_over(each, f"no {socket.slug}: a newer one is there")
    why = f"drawn on {scan.series.text('SeriesDescription') or socket.segmentation_of}" if scan else ""
    patient.chosen[socket.slug] = Choice(best, socket.slug, region, why)


def _drawn_on(regions: Series, scan: Series, known: set[str]) -> bool:
    """Whether contours refer to a scan; where the series that they refer to is not here, whether they share its frame."""
    references = set(regions.header.get("References", []))
    if references & known:
        return scan.text("SeriesInstanceUID") in references
    frame = regions.text("FrameOfReferenceUID")
    return bool(frame) and frame == scan.text("FrameOfReferenceUID")


def _region(regions: Series, socket: Socket) -> tuple[str, str]:
    """Find the region that is meant: its name or pattern, or what is wrong."""
    names = regions.regions
    listed = ", ".join(names.values()) or "none"
    for pattern in _rule(socket).regions:
        found = matching_regions(names, pattern)
        if len(found) == 1:
            return names[found[0]], ""
        if found and socket.kind is Kind.SEGMENTATION:
            return (
                "",
                f"{pattern} fits {len(found)} of its regions ({', '.join(names[each] for each in found)}): name one",
            )
        if found:
            return pattern, ""
    return "", f"none of its regions ({listed}) fits {', '.join(_rule(socket).regions)}: name one"


def _rule(socket: Socket) -> SeriesRule:
    return socket.series or SeriesRule()
