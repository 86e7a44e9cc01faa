"""SUV by body weight from the headers of each vendor: a phantom of known SUV is stored as each of them stores it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from preop.errors import InvalidInputError
from preop.imaging import read_image
from preop.imaging.dicom.suv import suv_scale
from tests.dicom.made import PET, item, write_series

WEIGHT_KG, DOSE_BQ, HALF_LIFE_S = 70.0, 370e6, 6588.0
INJECTED = datetime(2024, 3, 5, 10, 0, 0)  # noqa: DTZ001 - times of one header
WAITED_S = 3600.0
BEGAN = INJECTED + timedelta(seconds=WAITED_S)
BED_S = 150.0


def suv() -> np.ndarray:
    """Quiet tissue of 1, a lesion of 4, a hot one of 7.9, in steps that 16 bits hold."""
    phantom = np.ones((6, 10, 12))
    phantom[2:4, 3:6, 3:6], phantom[4, 7:9, 7:9] = 4.0, 7.9
    return phantom


def day(time: datetime) -> str:
    return f"{time:%Y%m%d}"


def clock(time: datetime) -> str:
    return f"{time:%H%M%S.%f}"


def decayed() -> float:
    return DOSE_BQ * 2 ** (-WAITED_S / HALF_LIFE_S)


def usual(number: int, dataset: Dataset, *, began: datetime = BEGAN) -> None:
    """Write what all vendors have in common; three slices a bed."""
    bed = number // 3
    acquired = began + timedelta(seconds=BED_S * bed)
    dataset.Units, dataset.DecayCorrection = "BQML", "START"
    dataset.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    dataset.PatientWeight = WEIGHT_KG
    dataset.SeriesDate, dataset.SeriesTime = day(began), clock(began)
    dataset.AcquisitionDate, dataset.AcquisitionTime = day(acquired), clock(acquired)
    dataset.ActualFrameDuration = int(BED_S * 1000)
    dataset.FrameReferenceTime = 1000 * (BED_S * bed + mean_time_s())
    dataset.RadiopharmaceuticalInformationSequence = [
        item(
            RadionuclideTotalDose=DOSE_BQ,
            RadionuclideHalfLife=HALF_LIFE_S,
            RadiopharmaceuticalStartTime=clock(INJECTED),
        )
    ]


def mean_time_s() -> float:
    """When within a bed's time its mean count rate is reached: a little before the middle."""
    constant = math.log(2) / HALF_LIFE_S
    decay = constant * BED_S
    return math.log(decay / (1 - math.exp(-decay))) / constant


def made_later(number: int, dataset: Dataset) -> None:
    usual(number, dataset)
    dataset.SeriesTime = clock(BEGAN + timedelta(hours=3))


def made_meanwhile(number: int, dataset: Dataset) -> None:
    """Write a time of the series between the first and the second bed."""
    usual(number, dataset)
    dataset.SeriesTime = clock(BEGAN + timedelta(seconds=100))


def without_first_bed(number: int, dataset: Dataset) -> None:
    usual(number + 3, dataset)
    dataset.SeriesTime = clock(BEGAN + timedelta(hours=3))


def ge(number: int, dataset: Dataset) -> None:
    made_later(number, dataset)
    del dataset.FrameReferenceTime
    block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x0D, "DT", f"{BEGAN:%Y%m%d%H%M%S}.00")
    # The first bed of the series was left out, so that no acquisition tells when the scan began.
    dataset.AcquisitionTime = clock(BEGAN + timedelta(seconds=BED_S * (1 + number // 3)))


def philips(element: int, value: float, unit: str) -> Callable[[int, Dataset], None]:
    def change(number: int, dataset: Dataset) -> None:
        usual(number, dataset)
        dataset.Units = unit
        dataset.private_block(0x7053, "Philips PET Private Group", create=True).add_new(element, "DS", f"{value:.10g}")

    return change


def canon(number: int, dataset: Dataset) -> None:
    usual(number, dataset)
    del dataset.FrameReferenceTime, dataset.ActualFrameDuration
    dataset.SeriesTime = clock(BEGAN).partition(".")[0]


def united_imaging(number: int, dataset: Dataset) -> None:
    usual(number, dataset)
    tracer = dataset.RadiopharmaceuticalInformationSequence[0]
    del tracer.RadiopharmaceuticalStartTime
    tracer.RadiopharmaceuticalStartDateTime = f"{INJECTED:%Y%m%d%H%M%S}.000000+0800"


def at_injection(number: int, dataset: Dataset) -> None:
    usual(number, dataset)
    dataset.DecayCorrection = "ADMIN"


def wrong_date_of_injection(number: int, dataset: Dataset) -> None:
    usual(number, dataset)
    tracer = dataset.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartDateTime = f"{INJECTED + timedelta(days=1):%Y%m%d%H%M%S}"


def in_universal_time(number: int, dataset: Dataset) -> None:
    usual(number, dataset)
    dataset.TimezoneOffsetFromUTC = "+0100"
    tracer = dataset.RadiopharmaceuticalInformationSequence[0]
    tracer.RadiopharmaceuticalStartDateTime = f"{INJECTED - timedelta(hours=1):%Y%m%d%H%M%S}+0000"


def before_midnight(number: int, dataset: Dataset) -> None:
    began = datetime(2024, 3, 6, 0, 20, 0)  # noqa: DTZ001
    usual(number, dataset, began=began)
    dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = clock(
        began - timedelta(seconds=WAITED_S)
    )


TO_BECQUEREL = decayed() / (WEIGHT_KG * 1000)


@pytest.mark.parametrize(
    ("change", "stored_per_suv"),
    [
        pytest.param(usual, TO_BECQUEREL, id="Siemens"),
        pytest.param(made_later, TO_BECQUEREL, id="Siemens, made again later"),
        pytest.param(made_meanwhile, TO_BECQUEREL, id="Siemens, made while it was scanned"),
        pytest.param(without_first_bed, TO_BECQUEREL, id="Siemens, made again later without its first bed"),
        pytest.param(ge, TO_BECQUEREL, id="GE, its own time of the scan"),
        pytest.param(philips(0x00, 1 / 300, "CNTS"), 300.0, id="Philips, counts to SUV"),
        pytest.param(philips(0x09, 2.5, "CNTS"), TO_BECQUEREL / 2.5, id="Philips, counts to Bq/ml"),
        pytest.param(philips(0x00, 1 / 300, "BQML"), TO_BECQUEREL, id="Philips, Bq/ml"),
        pytest.param(canon, TO_BECQUEREL, id="Canon"),
        pytest.param(united_imaging, TO_BECQUEREL, id="United Imaging"),
        pytest.param(at_injection, DOSE_BQ / (WEIGHT_KG * 1000), id="corrected to the injection"),
        pytest.param(wrong_date_of_injection, TO_BECQUEREL, id="date of injection wrong"),
        pytest.param(in_universal_time, TO_BECQUEREL, id="injection in universal time"),
        pytest.param(before_midnight, TO_BECQUEREL, id="injected before midnight"),
    ],
)
def test_each_vendor_gives_the_suv_that_was_stored(
    tmp_path: Path, change: Callable[[int, Dataset], None], stored_per_suv: float
) -> None:
    values = suv() * stored_per_suv
    slopes = values.reshape(6, -1).max(axis=1) / 30000 * np.array([1.0, 1.1, 1.0, 1.3, 1.0, 1.2])

    def with_slope(number: int, dataset: Dataset) -> None:
        change(number, dataset)
        dataset.RescaleSlope = f"{slopes[number]:.10g}"

    stored = np.rint(values / slopes[:, None, None]).astype(np.int16)
    image = read_image(write_series(tmp_path / "pet", stored, sop_class=PET, modality="PT", change=with_slope))
    assert image.voxels == pytest.approx(suv(), rel=1e-3)
    assert image.notes


def test_the_suv_worked_out_by_hand() -> None:
    # 20.68 kBq/ml, 75 kg, 350 MBq, one half life: 20680 x 75000 / 175e6 = 8.863.
    header = Dataset()
    usual(0, header)
    header.PatientWeight = 75
    header.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = 350e6
    header.SeriesTime = header.AcquisitionTime = clock(INJECTED + timedelta(seconds=HALF_LIFE_S))
    del header.FrameReferenceTime
    assert 20680 * suv_scale([header]).factor == pytest.approx(8.863, abs=1e-3)


def _of_tracer(tag: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header.RadiopharmaceuticalInformationSequence[0], tag, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda each: delattr(each, "PatientWeight"), r"Patient's Weight \(0010,1030\) is missing"),
        (lambda each: setattr(each, "PatientWeight", 0), r"Patient's Weight \(0010,1030\) is missing in the PET, or 0"),
        (lambda each: setattr(each, "PatientWeight", 70000), "body weight of 70000 kg"),
        (_of_tracer("RadionuclideTotalDose", None), r"Radionuclide Total Dose \(0018,1074\) is missing"),
        (_of_tracer("RadionuclideTotalDose", 370), "370 Bq .* looks like another unit"),
        (_of_tracer("RadionuclideHalfLife", None), r"Radionuclide Half Life \(0018,1075\) is missing"),
        (_of_tracer("RadiopharmaceuticalStartTime", ""), r"Radiopharmaceutical Start Time \(0018,1072\) is missing"),
        (
            _of_tracer("RadiopharmaceuticalStartDateTime", "20240305093000"),
            r"two times of injection: 09:30:00 \(.*\(0018,1078\)\) and 10:00:00",
        ),
        (_of_tracer("RadiopharmaceuticalStartTime", "120000"), "expected at most 11.0 h between"),
        (lambda each: delattr(each, "RadiopharmaceuticalInformationSequence"), r"\(0054,0016\) is missing"),
        (lambda each: delattr(each, "DecayCorrection"), r"Decay Correction \(0054,1102\) is missing"),
        (lambda each: setattr(each, "DecayCorrection", "NONE"), "expected START or ADMIN"),
        (lambda each: setattr(each, "CorrectedImage", ["DECY"]), "not corrected for attenuation"),
        (lambda each: setattr(each, "CorrectedImage", ["ATTN"]), "not corrected for decay"),
        (lambda each: setattr(each, "Units", ""), r"Units \(0054,1001\) is missing"),
        (lambda each: setattr(each, "Units", "PROPCNTS"), "unit PROPCNTS, which cannot be converted"),
        (lambda each: setattr(each, "Units", "CNTS"), r"without the private factors of Philips"),
    ],
)
def test_what_gives_no_suv_is_refused_by_its_tag(change: Callable[[Dataset], None], words: str) -> None:
    header = Dataset()
    usual(0, header)
    change(header)
    with pytest.raises(InvalidInputError, match=words):
        suv_scale([header])


def test_suv_of_another_kind_is_refused() -> None:
    header = Dataset()
    header.Units, header.SUVType = "GML", "LBM"
    with pytest.raises(InvalidInputError, match="of the type LBM"):
        suv_scale([header])


def test_suv_without_correction_for_attenuation_is_refused() -> None:
    for change in (philips(0x00, 1 / 300, "CNTS"), lambda _, each: setattr(each, "Units", "GML")):
        header = Dataset()
        change(0, header)
        header.CorrectedImage = ["DECY", "SCAT"]
        with pytest.raises(InvalidInputError, match="not corrected for attenuation"):
            suv_scale([header])


def test_frames_that_contradict_the_series_are_told_of() -> None:
    header = Dataset()
    usual(0, header)
    header.FrameReferenceTime = 1000 * (mean_time_s() + 900)
    assert "say that it began at 10:45:00" in " ".join(suv_scale([header]).notes)
