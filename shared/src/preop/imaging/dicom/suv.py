"""SUV by body weight from the header of a PET series.

SUV = activity concentration [Bq/ml] x body weight [g] / injected dose [Bq], the dose decayed to the time to which the
concentration was corrected. Which header states that time differs by vendor; the order of preference here is that of the
vendor-neutral description of QIBA (FDG-PET/CT profile, "SUV calculation"), with DICOM PS3.3, C.8.9.1 for the tags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from preop.errors import InvalidInputError

WEIGHT_KG = (2.0, 350.0)
DOSE_BQ = (1e6, 1e10)
"""Between what doses of PET tracers lie, 20 MBq in a small child to a few GBq of a short-lived tracer: MBq or mCi taken for
Bq are far below."""
MAX_HALF_LIVES = 6.0
"""Between injection and scan: more is a wrong date or time."""
CONTRADICTION_S = 120.0
"""Two statements of the same time that differ by more are told of: the SUV differs by more than 1 %."""

_BECQUEREL = {"BQML": 1.0, "KBQML": 1000.0}
_GE, _PHILIPS = "GEMS_PETD_01", "Philips PET Private Group"
_GE_SCAN_TIME = (0x0009, 0x0D)
_PHILIPS_SUV, _PHILIPS_BECQUEREL = (0x7053, 0x00), (0x7053, 0x09)
_TAGS = {
    "PatientWeight": "Patient's Weight (0010,1030)",
    "RadiopharmaceuticalInformationSequence": "Radiopharmaceutical Information Sequence (0054,0016)",
    "RadionuclideTotalDose": "Radionuclide Total Dose (0018,1074)",
    "RadionuclideHalfLife": "Radionuclide Half Life (0018,1075)",
    "RadiopharmaceuticalStartTime": "Radiopharmaceutical Start Time (0018,1072)",
    "DecayCorrection": "Decay Correction (0054,1102)",
    "CorrectedImage": "Corrected Image (0028,0051)",
    "Units": "Units (0054,1001)",
}


@dataclass(frozen=True)
class SuvScale:
    """What the rescaled values of a PET are multiplied by to become SUV by body weight, and how that was found."""

    factor: float
    notes: tuple[str, ...] = ()


def suv_scale(headers: Sequence[Any]) -> SuvScale:
    """Tell what turns the values of a PET series, after their own rescaling, into SUV by body weight.

    Parameters
    ----------
    headers
        Of all its slices: the scan began with the first of them.

    Raises
    ------
    InvalidInputError
        If a tag that is needed is missing, which is named, or what is stated cannot be.
    """
    units = {str(header.get("Units", "") or "") for header in headers}
    if len(units) > 1:
        raise InvalidInputError(
            f"The PET has slices in different units ({', '.join(sorted(units))}); expected one: keep one series."
        )
    first, unit = headers[0], units.pop()
    if unit == "GML":
        _check_attenuation(first)
        return _stated_suv(first)
    if not unit:
        raise _missing("Units", "the PET")
    philips = _private(first, _PHILIPS, *_PHILIPS_SUV) if unit == "CNTS" else None
    if philips:
        _check_attenuation(first)
        return SuvScale(philips, ("the PET was converted from counts to SUV by the factor of Philips (7053,1000).",))
    becquerel = _BECQUEREL.get(unit) or (_private(first, _PHILIPS, *_PHILIPS_BECQUEREL) if unit == "CNTS" else None)
    if not becquerel:
        hint = " without the private factors of Philips (7053,1000) and (7053,1009)" if unit == "CNTS" else ""
        raise InvalidInputError(
            f"The PET is in the unit {unit}{hint}, which cannot be converted to SUV by body weight; expected BQML, GML, or CNTS "
            "of Philips: export the series with attenuation correction in Bq/ml."
        )
    return _from_becquerel(headers, becquerel)


def _check_attenuation(header: Any) -> None:
    """Refuse SUV without correction for attenuation, where the header states the corrections."""
    if header.get("CorrectedImage") and "ATTN" not in (corrections := _text(header, "CorrectedImage")):
        raise _uncorrected("attenuation", corrections)


def _stated_suv(header: Any) -> SuvScale:
    kind = str(header.get("SUVType", "") or "BW")
    if kind != "BW":
        raise InvalidInputError(
            f"The PET is in SUV of the type {kind} (SUV Type (0054,1006)); expected SUV by body weight (BW): export it in Bq/ml."
        )
    return SuvScale(1.0)


def _from_becquerel(headers: Sequence[Any], becquerel: float) -> SuvScale:
    first = headers[0]
    corrections = _text(first, "CorrectedImage")
    if "ATTN" not in corrections or "DECY" not in corrections:
        raise _uncorrected("attenuation" if "ATTN" not in corrections else "decay", corrections)
    weight_kg = _number(first, "PatientWeight", "the PET")
    low, high = WEIGHT_KG
    if not low <= weight_kg <= high:
        raise InvalidInputError(
            f"The PET states a body weight of {weight_kg:g} kg (0010,1030); expected {low:g} to {high:g} kg: correct the header."
        )
    tracers = first.get("RadiopharmaceuticalInformationSequence")
    if not tracers:
        raise _missing("RadiopharmaceuticalInformationSequence", "the PET")
    tracer = tracers[0]
    dose_bq = _number(tracer, "RadionuclideTotalDose", "the PET")
    if not DOSE_BQ[0] <= dose_bq <= DOSE_BQ[1]:
        raise InvalidInputError(
            f"The PET states an injected dose of {dose_bq:g} Bq (0018,1074); expected {DOSE_BQ[0]:g} to {DOSE_BQ[1]:g} Bq: it looks "
            "like another unit, such as MBq; correct the header."
        )
    correction = _text(first, "DecayCorrection")
    notes: tuple[str, ...] = ()
    decayed_bq = dose_bq
    if correction == "START":
        half_life_s = _number(tracer, "RadionuclideHalfLife", "the PET")
        waited_s, notes = _waited(headers, tracer, half_life_s)
        decayed_bq = dose_bq * 2 ** (-waited_s / half_life_s)
        when = f"after {waited_s / 60:.1f} min of decay"
    elif correction == "ADMIN":
        when = "corrected to the time of injection"
    else:
        raise InvalidInputError(
            f"The PET states Decay Correction (0054,1102) = {correction}; expected START or ADMIN: choose the corrected series."
        )
    told = (
        f"the PET was converted from Bq/ml to SUV by body weight ({weight_kg:g} kg, {dose_bq / 1e6:.4g} MBq, {when})."
    )
    return SuvScale(becquerel * weight_kg * 1000 / decayed_bq, (told, *notes))


def _waited(headers: Sequence[Any], tracer: Any, half_life_s: float) -> tuple[float, tuple[str, ...]]:
    """Seconds from the injection to the time to which the values are corrected."""
    reference, notes = _reference_time(headers, half_life_s)
    by_date = _date_time(str(tracer.get("RadiopharmaceuticalStartDateTime", "") or ""), _zone(headers[0]))
    clock = str(tracer.get("RadiopharmaceuticalStartTime", "") or "")
    by_clock = _date_time(f"{reference:%Y%m%d}{clock.replace(':', '')}") if clock else None
    if by_clock is not None and by_clock > reference:  # injected before midnight, or a clock that is wrong
        by_clock -= timedelta(days=1)
    longest = MAX_HALF_LIVES * half_life_s
    times = [time for time in (by_date, by_clock) if time is not None]
    if not times:
        raise _missing("RadiopharmaceuticalStartTime", "the PET")
    possible = len(times) > 1 and all(0 <= (reference - time).total_seconds() <= longest for time in times)
    if possible and abs((times[0] - times[1]).total_seconds()) > CONTRADICTION_S:
        raise InvalidInputError(
            f"The PET states two times of injection: {times[0]:%H:%M:%S} (Radiopharmaceutical Start DateTime (0018,1078)) and "
            f"{times[1]:%H:%M:%S} (Radiopharmaceutical Start Time (0018,1072)); expected one: correct the header."
        )
    for injected in times:
        waited = (reference - injected).total_seconds()
        if 0 <= waited <= longest:
            if by_date is not None and injected != by_date:
                told = f"the date of injection in the header ({by_date:%Y-%m-%d %H:%M}) is not before the scan; its time of day was used."
                notes = (*notes, told)
            return waited, notes
    raise InvalidInputError(
        f"The PET was scanned at {reference:%Y-%m-%d %H:%M:%S} and its tracer injected at {times[0]:%Y-%m-%d %H:%M:%S} by the "
        f"header; expected at most {longest / 3600:.1f} h between, and the injection first: correct the header."
    )


def _reference_time(headers: Sequence[Any], half_life_s: float) -> tuple[datetime, tuple[str, ...]]:
    """Tell to which time the values are corrected: the begin of the scan, wherever this vendor states it."""
    first = headers[0]
    stated = _date_time(str(first.get("DecayCorrectionDateTime", "") or ""), _zone(first))
    if stated is not None:
        return stated, ()
    series = _together(first, "Series")
    acquired = [time for header in headers if (time := _acquired(header)) is not None]
    by_frames = [time for header in headers if (time := _by_frame(header, half_life_s)) is not None]
    if series is not None and acquired and series <= min(acquired):
        apart = abs((min(by_frames) - series).total_seconds()) if by_frames else 0.0
        told = (
            f"the frames of the PET say that it began at {min(by_frames):%H:%M:%S}, its series at {series:%H:%M:%S}, which was used."
            if apart > CONTRADICTION_S
            else ""
        )
        return series, (told,) if told else ()
    # The series was made again later: its own time says nothing of the scan.
    private = _private_text(first, _GE, *_GE_SCAN_TIME)
    if private and (scanned := _date_time(private)) is not None:
        return scanned, ()
    if by_frames:
        return min(by_frames), ()
    if acquired:
        return min(acquired), ()
    raise InvalidInputError(
        "The PET does not say when it was scanned: Acquisition Date (0008,0022) and Acquisition Time (0008,0032) are missing."
    )


def _acquired(header: Any) -> datetime | None:
    return _date_time(str(header.get("AcquisitionDateTime", "") or ""), _zone(header)) or _together(
        header, "Acquisition"
    )


def _zone(header: Any) -> str:
    return str(header.get("TimezoneOffsetFromUTC", "") or "")


def _by_frame(header: Any, half_life_s: float) -> datetime | None:
    """Begin of the scan by one slice: its own begin and mean time, less its Frame Reference Time (offset from the scan's begin)."""
    acquired = _acquired(header)
    try:
        offset_s = float(header.get("FrameReferenceTime") or 0) / 1000
        duration_s = float(header.get("ActualFrameDuration") or 0) / 1000
    except (TypeError, ValueError):
        return None
    if acquired is None or offset_s <= 0 or duration_s <= 0:
        return None
    constant = math.log(2) / half_life_s
    decay = constant * duration_s
    mean_s = math.log(decay / (1 - math.exp(-decay))) / constant
    return acquired + timedelta(seconds=mean_s - offset_s)


def _together(header: Any, what: str) -> datetime | None:
    day, time = (str(header.get(f"{what}{part}", "") or "") for part in ("Date", "Time"))
    return _date_time(day.replace(".", "") + time.replace(":", "")) if day and time else None


def _date_time(text: str, local: str = "") -> datetime | None:
    """Read YYYYMMDDHHMMSS.FFFFFF in the time zone of the header.

    A shift to universal time is that of all times of the header, unless ``local``, which the header states for all, is another.
    """
    found = re.fullmatch(r"(\d{8})(\d{2})(\d{2})(\d{2})?(\.\d*)?([+-]\d{4})?\s*", text)
    if not found:
        return None
    day, hour, minute, second, fraction, zone = found.groups()
    try:
        whole = datetime.strptime(f"{day}{hour}{minute}{second or '00'}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - times of one header
    except ValueError:
        return None
    if zone and re.fullmatch(r"[+-]\d{4}", local.strip()):
        whole += _shift(local.strip()) - _shift(zone)
    return whole + timedelta(seconds=float(fraction)) if fraction and fraction != "." else whole


def _shift(zone: str) -> timedelta:
    hours, minutes = int(zone[1:3]), int(zone[3:])
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)


def _private_text(header: Any, creator: str, group: int, element: int) -> str:
    try:
        value = header.private_block(group, creator)[element].value
    except (KeyError, AttributeError):
        return ""
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    return str(value).strip(" \0")


def _private(header: Any, creator: str, group: int, element: int) -> float | None:
    try:
        value = float(_private_text(header, creator, group, element))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _number(header: Any, tag: str, whose: str) -> float:
    try:
        value = float(header.get(tag))
    except (TypeError, ValueError):
        raise _missing(tag, whose) from None
    if not math.isfinite(value) or value <= 0:
        raise _missing(tag, whose)
    return value


def _text(header: Any, tag: str) -> str:
    value = header.get(tag)
    if value is None or value == "" or (not isinstance(value, str) and len(value) == 0):
        raise _missing(tag, "the PET")
    return value if isinstance(value, str) else ", ".join(map(str, value))


def _uncorrected(lacks: str, corrections: str) -> InvalidInputError:
    return InvalidInputError(
        f"The PET is not corrected for {lacks} (Corrected Image (0028,0051) is {corrections}); expected ATTN and DECY: "
        "choose the corrected series."
    )


def _missing(tag: str, whose: str) -> InvalidInputError:
    return InvalidInputError(
        f"{_TAGS[tag]} is missing in {whose}, or 0: without it there is no SUV by body weight; export the series with it, or give "
        "the PET in SUV."
    )
