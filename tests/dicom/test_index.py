"""What lies in a folder, what each series is, and what patients are called."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preop.cli.repository import find_algorithm
from preop.dicom.choices import read_corrections, write_choices
from preop.dicom.choosing import Correction, choose
from preop.dicom.headers import Place
from preop.dicom.index import read_index
from preop.dicom.inputs import read_volume, write_inputs
from preop.dicom.privacy import Originals, cautions
from preop.dicom.pseudonyms import person, pseudonym, read_key
from preop.dicom.series import Content, Series, series_of
from preop.errors import InvalidInputError
from preop.slides import Slide, write_slide
from tests.dicom.export import BERND, SHAPE, write_export
from tests.dicom.made import MR, edit, file_of, volume_of, write_enhanced, write_series
from tests.slides.dicom_slides import write_dicom_slide

LIVER, LUNG, BLADDER = (
    find_algorithm(name) for name in ("liver_growth_pattern", "lung_nodal_stage", "bladder_lymph_nodes")
)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("pacs") / "export")


def test_two_echoes_of_one_series_are_two_candidates(tmp_path: Path) -> None:
    folder = tmp_path / "mr"
    for number, echo in enumerate((4.6, 2.3)):
        write_series(tmp_path / f"{number}", volume_of(), sop_class=MR, modality="MR")
        folder.mkdir(exist_ok=True)
        for file in sorted((tmp_path / f"{number}").iterdir()):
            edit(file, lambda each, echo=echo: setattr(each, "EchoTime", echo))
            shutil.move(file, folder / f"{number}{file.name}")
    found = series_of(read_index(folder))
    assert [(each.part, each.slices) for each in found] == [("echo time 2.3", 8), ("echo time 4.6", 8)]


def test_two_orientations_of_one_series_are_two_volumes(tmp_path: Path) -> None:
    for number, orientation in enumerate(((1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1))):
        write_series(tmp_path / f"{number}", volume_of(seed=number), orientation=orientation)
    found = series_of(read_index(tmp_path))
    assert [each.part for each in found] == ["orientation 1", "orientation 2"]
    assert {read_volume(each).voxels.tobytes() for each in found} == {volume_of(seed=n).tobytes() for n in range(2)}


def test_a_damaged_member_of_an_archive_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "in" / "export.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in write_series(tmp_path / "ct", volume_of()).iterdir():
            packed.write(file, file.name)
        packed.writestr("more.zip", b"PK")
    info = zipfile.ZipFile(archive).infolist()[0]
    content = bytearray(archive.read_bytes())
    begin = info.header_offset + 30 + len(info.filename)
    content[begin : begin + 40] = b"\xff" * 40
    archive.write_bytes(content)
    index = read_index(archive.parent)
    assert {place.member: reason.split(" (")[0] for place, reason in index.damaged.items()} == {
        info.filename: "it cannot be unpacked",
        "more.zip": "it is an archive inside of an archive: unpack it",
    }
    assert len(index.objects) == 7


def test_pixels_that_cannot_be_unpacked_are_named(tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in write_series(tmp_path / "ct", volume_of()).iterdir():
            packed.write(file, f"../../{file.name}")
    series = series_of(read_index(archive))[0]
    assert np.array_equal(read_volume(series).voxels, volume_of())  # and nothing lies above the folder
    assert not list(tmp_path.parent.glob("*.dcm"))
    content = archive.read_bytes()
    at = content.index(volume_of()[3].tobytes())
    archive.write_bytes(content[:at] + b"\0\1\2\3" + content[at + 4 :])
    with pytest.raises(InvalidInputError, match=r"cannot be unpacked .Bad CRC"):
        read_volume(series)


def test_a_header_without_an_end_is_not_read_on_and_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preop.dicom.headers._LONGEST_HEADER", 2**20)
    start = file_of(write_series(tmp_path / "ct", volume_of()), 0).read_bytes().partition(b"\x08\x00\x16\x00")[0]
    endless = start + b"\x08\x00\x01\x00UN\0\0\xf0\xff\xff\x7f"
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb.dcm", endless + bytes(2**22))
    assert list(read_index(tmp_path / "in").damaged.values()) == ["its header is longer than 1 MiB"]


def test_headers_are_remembered_and_an_object_in_two_places_counts_once(export: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(export, tmp_path / "export")
    shutil.copytree(folder / "1", folder / "backup" / "1")
    remembered = tmp_path / "index.sqlite"
    first = read_index(folder, remembered=remembered)
    assert first.twice == SHAPE[0]
    edit(file_of(folder / "2", 3), lambda each: setattr(each, "SeriesDescription", "changed"))
    file_of(folder / "3", 0).unlink()
    second = read_index(folder, remembered=remembered)
    assert second.read == 1
    assert len(second.objects) == len(first.objects) - 1
    assert "changed" in {header.get("SeriesDescription") for header in second.objects.values()}


def test_members_of_an_archive_are_found_wherever_their_names_lead(export: Path) -> None:
    (mr,) = [each for each in series_of(read_index(export)) if each.text("Modality") == "MR"]
    assert mr.slices == SHAPE[0]
    assert mr.text("PatientName") == BERND[1]
    with mr.files() as files:
        assert len({file.parent for file in files}) == 1
        assert all(file.name.count("/") == 0 and file.is_file() for file in files)
        folder = files[0].parent
    assert not folder.exists()


@pytest.mark.slow
def test_more_processes_find_the_same(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_index(export)
    monkeypatch.setattr("preop.dicom.index._FEW", 0)
    monkeypatch.setattr("preop.dicom.index._AT_ONCE", 10)
    assert read_index(export, processes=2) == alone


def test_a_name_depends_on_the_key_and_on_who_gave_the_number(tmp_path: Path) -> None:
    one, other = read_key(tmp_path / "one"), read_key(tmp_path / "other")
    assert read_key(tmp_path / "one") == one
    assert (tmp_path / "one").stat().st_mode & 0o77 == 0
    who = person({"PatientID": "0815"})
    assert pseudonym(who, one) == pseudonym(who, one) != pseudonym(who, other)
    assert pseudonym(who, one) != pseudonym(person({"PatientID": "0815", "IssuerOfPatientID": "B"}), one)
    assert person({"StudyInstanceUID": "1.2"}) != person({"StudyInstanceUID": "1.3"})
    (tmp_path / "short").write_text("abcd")
    with pytest.raises(InvalidInputError, match="a key of 2 bytes"):
        read_key(tmp_path / "short")


def test_names_numbers_and_dates_are_found_however_they_are_written() -> None:
    header = {
        "PatientName": "M\u00fcller-Thurgau^Lung",
        "PatientID": "A-0042",
        "PatientBirthDate": "19550312",
        "StudyInstanceUID": "1.2.840.77",
    }
    originals = Originals([header], known=["lung-metastasis"])
    assert originals.in_text("MULLER") == {"PatientName"}
    assert originals.in_text("born on 12.03.1955") == originals.in_text("1955-03-12T00:00") == {"PatientBirthDate"}
    assert originals.in_text("id=a-0042;") == {"PatientID"}
    assert originals.in_text("uid 1.2.840.77") == {"StudyInstanceUID"}
    # A name that is a word of the study, a longer number, another UID, and parts of words.
    for text in ("lung-metastasis", "A-00421", "1.2.840.771", "thurgaus", "119550312"):
        assert not originals.in_text(text)


def scan(number: int, **tags: object) -> Series:
    """A volume of 60 slices by its header alone."""
    header = {
        "Modality": "CT",
        "SeriesNumber": str(number),
        "SeriesInstanceUID": f"1.{number}",
        "StudyInstanceUID": "1",
        "StudyDate": "20240101",
        "SliceThickness": "2",
        "NumberOfFrames": "60",
        "SOPInstanceUID": f"1.{number}.1",
        "Rows": "512",
        **tags,
    }
    return Series(Content.VOLUME, (Place(Path(f"{number}")),), (header,))


def uses(algorithm: object, *series: Series, **more: object) -> dict[str, str]:
    return {c.series.text("SeriesNumber"): c.use or c.reason for c in choose(algorithm, series, **more)}  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["LEG", "THIGH", "KNEE", "FOOT", "HEAD", "BRAIN", "HAND", "EXTREMITY", "UPRARM"])
@pytest.mark.parametrize("algorithm", [LIVER, LUNG, BLADDER], ids=lambda each: each.name)
def test_a_series_of_another_body_part_is_passed_over_and_a_person_can_take_it(algorithm: object, part: str) -> None:
    ct = scan(1, SeriesDescription="CT portal", BodyPartExamined=part)
    found = uses(algorithm, ct)
    assert f"another body part ({part})" in found["1"]
    slug = next(socket.slug for socket in algorithm.inputs if socket.series)  # type: ignore[attr-defined]
    assert uses(algorithm, ct, corrections={ct.name: Correction((slug,))}) == {"1": slug}


@pytest.mark.parametrize("algorithm", [LIVER, LUNG, BLADDER], ids=lambda each: each.name)
@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"BodyPartExamined": ""},
        {"BodyPartExamined": "WHOLEBODY"},
        {"BodyPartExamined": "CHESTABDPELVIS"},
        {"BodyPartExamined": ["LEG", "ABDOMEN"]},
        {"BodyPartExamined": "HEAD", "SeriesDescription": "thorax/abdomen portal"},
        {"BodyPartExamined": "LEG", "ProtocolName": "WB_PETCT"},
    ],
)
def test_a_body_part_that_is_general_or_contradicted_by_the_description_passes(algorithm: object, tags: dict) -> None:
    found = uses(algorithm, scan(1, **{"SeriesDescription": "CT portal", **tags}))
    assert found["1"] == next(socket.slug for socket in algorithm.inputs if socket.series)  # type: ignore[attr-defined]


def test_the_liver_takes_the_portal_venous_phase_of_soft_thin_slices() -> None:
    found = uses(
        LIVER,
        scan(1, SeriesDescription="Abdomen nativ"),
        scan(2, SeriesDescription="Abdomen arteriell", ContrastBolusAgent="Ultravist"),
        scan(3, SeriesDescription="Abdomen portalvenous", ContrastBolusAgent="Ultravist", SliceThickness="5"),
        scan(4, SeriesDescription="Abdomen portalvenous", ContrastBolusAgent="Ultravist", ConvolutionKernel="Br40d"),
        scan(5, SeriesDescription="Abdomen portalvenous", ContrastBolusAgent="Ultravist", ConvolutionKernel="Br64d"),
        scan(6, SeriesDescription="Abdomen", ContrastBolusAgent="Ultravist", ConvolutionKernel="Br40d"),
        scan(7, SeriesDescription="portal venous MIP", ContrastBolusAgent="Ultravist"),
        scan(8, SeriesDescription="portal venous", ContrastBolusAgent="x", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4"),
    )
    assert found["4"] == "ct-image"
    for number, words in (
        ("1", "fits *nati*"),
        ("2", "fits *arter*"),
        ("3", "has a softer kernel"),
        ("5", "sharp one"),
        ("6", "is described better"),
        ("7", "fits *mip*"),
        ("8", "secondary capture"),
    ):
        assert words in found[number]


def test_the_pet_is_of_the_examination_of_the_ct_and_the_earliest_complete_one_is_taken() -> None:
    def of(study: str, date: str, number: int, **tags: object) -> Series:
        return scan(number, StudyInstanceUID=study, StudyDate=date, **tags)

    found = uses(
        LUNG,
        of("a", "20240101", 1),
        of("z", "20240201", 2),
        of("z", "20240201", 3, Modality="PT", CorrectedImage=["ATTN", "DECY"]),
        of("z", "20240201", 4, Modality="PT", CorrectedImage=["DECY"]),
        of("c", "20240601", 5),
        of("c", "20240601", 6, Modality="PT", CorrectedImage=["ATTN", "DECY"]),
        of("c", "20240601", 7, Modality="US"),
    )
    assert (found["2"], found["3"]) == ("chest-ct", "fdg-pet")
    assert "not corrected for attenuation" in found["4"]
    assert "not of the examination of chest-ct" in found["6"]
    assert found["7"] == "lung_nodal_stage takes no US"


def test_a_person_overrules_the_rules() -> None:
    soft, sharp = scan(1, ContrastBolusAgent="x"), scan(2, ContrastBolusAgent="x", ConvolutionKernel="B70f")
    assert uses(BLADDER, soft, sharp)["1"] == "ct-image"
    said = {sharp.name: Correction(("ct-image",))}
    assert uses(BLADDER, soft, sharp, corrections=said)["2"] == "ct-image"
    assert uses(BLADDER, soft, sharp, corrections={soft.name: Correction()})["1"] == "passed over by a person"


def regions(number: int, on: Series, *names: str, **tags: object) -> Series:
    header = {
        **scan(number, Modality="RTSTRUCT").header,
        "References": [on.text("SeriesInstanceUID")],
        "Regions": list(names),
        **tags,
    }
    return Series(Content.REGIONS, (Place(Path(f"{number}")),), (header,))


def test_several_regions_are_nodes_of_one_input_and_too_many_for_another() -> None:
    ct = scan(1, ContrastBolusAgent="x")
    (chosen,) = [
        each
        for each in choose(BLADDER, [ct, regions(2, ct, "LN 1", "LN 2", "Bladder")])
        if each.use == "lymph-node-segmentation"
    ]
    assert chosen.region == "LN*"
    sarcoma = find_algorithm("sarcoma_lung_metastasis")
    plain = scan(1)
    assert (
        "GTV* fits 2 of its regions (GTV1, GTV2): name one"
        in uses(sarcoma, plain, regions(2, plain, "GTV1", "GTV2"))["2"]
    )
    assert "none of its regions (Lung) fits" in uses(sarcoma, plain, regions(2, plain, "Lung"))["2"]
    other = scan(3, StudyInstanceUID="2", StudyDate="20250101")
    assert "drawn on another series" in uses(sarcoma, plain, other, regions(2, other, "GTV"))["2"]
    # The series that they refer to was not exported: the frame of reference tells, where it is one.
    framed = scan(4, FrameOfReferenceUID="1.9")
    unknown = regions(5, other, "GTV", References=["9.9"], FrameOfReferenceUID="1.9")
    assert uses(sarcoma, framed, unknown)["5"] == "ct-tumour-segmentation"
    elsewhere = regions(6, other, "GTV", References=["9.9"], FrameOfReferenceUID="1.8")
    assert "drawn on another series" in uses(sarcoma, framed, elsewhere)["6"]
    said = {regions(2, plain).name: Correction(("ct-tumour-segmentation",), ("GTV2",))}
    assert uses(sarcoma, plain, regions(2, plain, "GTV1", "GTV2"), corrections=said)["2"] == "ct-tumour-segmentation"


@pytest.mark.parametrize(
    ("described", "tags", "slug"),
    [
        ("T1 TSE tra", {}, "t1-mri"),
        ("T2 TSE FS tra", {"RepetitionTime": "4200", "EchoTime": "70"}, "t2-fs-mri"),
        ("STIR cor", {"RepetitionTime": "5000", "EchoTime": "40"}, "t2-fs-mri"),
        ("t2_tirm_tra", {}, "t2-fs-mri"),
        ("T2 TSE tra", {}, None),
        ("T1 TSE tra +C", {}, "contrast-t1-mri"),
        ("T1 TSE tra GAD", {}, "contrast-t1-mri"),
        ("T1 TSE tra", {"ContrastBolusAgent": "gadobutrol"}, "contrast-t1-mri"),
        ("T1 TSE FS tra +C", {}, None),
    ],
)
def test_the_sequences_of_mr_are_told_by_description_and_contrast(
    described: str, tags: dict[str, str], slug: str | None
) -> None:
    sarcoma = find_algorithm("sarcoma_lung_metastasis")
    mr = scan(1, Modality="MR", SeriesDescription=described, SliceThickness="5", **tags)
    assert [choice.use for choice in choose(sarcoma, [mr]) if choice.use] == ([slug] if slug else [])


def test_faces_and_burned_in_words_are_cautioned_of() -> None:
    assert cautions(scan(1)) == []
    assert "face" in cautions(scan(1, BodyPartExamined="HEAD"))[0]
    assert "burned-in" in cautions(scan(1, BurnedInAnnotation="YES"))[0]


def test_contours_on_two_scans_are_the_mask_of_each() -> None:
    ct, pet = scan(1), scan(2, Modality="PT", CorrectedImage=["ATTN", "DECY"])
    both = regions(3, ct, "GTV", References=["1.1", "1.2"])
    sarcoma = find_algorithm("sarcoma_lung_metastasis")
    found = {choice.use: choice.series for choice in choose(sarcoma, [ct, pet, both])}
    assert found["ct-tumour-segmentation"] is found["pet-tumour-segmentation"] is both
    said = {both.name: Correction(("ct-tumour-segmentation", "pet-tumour-segmentation"), ("GTV", "BTV"))}
    by_person = {choice.use: choice.region for choice in choose(sarcoma, [ct, pet, both], said)}
    assert (by_person["ct-tumour-segmentation"], by_person["pet-tumour-segmentation"]) == ("GTV", "BTV")


def test_an_enhanced_image_is_one_volume_of_its_frames(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "enhanced.dcm", volume_of(), slopes=[1.0] * 8, order=range(8))
    (found,) = series_of(read_index(tmp_path))
    assert (found.slices, found.number("SliceThickness"), found.content) == (8, 3.0, Content.VOLUME)
    assert np.array_equal(read_volume(found).voxels, volume_of())


def test_slides_of_dicom_and_of_scanners_become_the_platforms_tiff(tmp_path: Path) -> None:
    picture = np.full((300, 400, 3), 255, np.uint8)
    picture[50:250, 100:300] = (200, 60, 120)
    export = tmp_path / "export"
    export.mkdir()
    write_dicom_slide(export / "a", picture, series="1.2.3.1")
    write_dicom_slide(export / "b", picture[:64, :64], series="1.2.3.1", flavour="LABEL")
    for name in ("a", "b"):
        edit(export / name, lambda each: setattr(each, "PatientID", "0815"))
    write_slide([picture], picture.shape[:2], 0.5, export / "4711.tif")
    primary = find_algorithm("primary_growth_pattern")
    patients = {"0815": [], "4711": []}
    for each in series_of(read_index(export)):
        patients[each.text("PatientID")].append(each)
    for number, series in patients.items():
        choices = choose(primary, series)
        assert [choice.use for choice in choices if choice.use] == ["primary-tumour-slide"]
        paths, _ = write_inputs(primary, choices, tmp_path / number)
        with Slide(paths["primary-tumour-slide"]) as slide:
            assert slide.levels[0].shape == (300, 400)
            assert slide.um_per_pixel == pytest.approx(0.5)
            assert np.abs(slide.read_region((50, 100), (50, 50), 0.5).astype(int) - (200, 60, 120)).max() < 12
    assert "fits *label*" in choose(primary, patients["0815"])[1].reason


def test_a_description_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    one = scan(1, SeriesDescription="=HYPERLINK(1)", PatientID="0815")
    write_choices(tmp_path / "choices.csv", {"P1": choose(BLADDER, [one])}, {}, {})
    assert "'=HYPERLINK(1)" in (tmp_path / "choices.csv").read_text()
    assert read_corrections(tmp_path / "choices.csv", BLADDER).uses == {}
