"""The table of bad inputs: what is wrong, how it is made from a bundled case, and what must come.

What must come is a refusal (exit code 1, one sentence as the last line, nothing written), an answer that says itself that it
does not hold ("no") or holds with reservations ("limited"), or the very answer of the case, where only its storage is odd.
Never a traceback of someone else's code, never a confident number, never a hang.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from tests.contract.spoiling import (
    Spoil,
    as_folder,
    as_link,
    as_pipe,
    at,
    bomb,
    both_turned,
    content,
    copied_beside,
    cut_to,
    directory_again,
    exchanged,
    header,
    header_alone,
    image,
    inputs,
    items,
    known,
    linked_out,
    mask,
    mask_is_the_scan,
    mr,
    noise,
    only_first_of_1,
    only_middle_of,
    pet,
    removed,
    renamed,
    scan,
    slide_of,
    socket,
    sparse,
    stored_as,
    tag,
    tiff_mask,
    tiles_of_garbage,
    value,
    voxels,
    without_folder,
    without_resolution,
)
from tests.contract.studies import ALL, BLADDER, LIVER, LUNG, PRIMARY, SARCOMA, SCANS, Laid, Study


@dataclass(frozen=True)
class Refused:
    """One sentence that holds these words, all of them."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Doubted:
    """An answer whose explanation says ``assessable`` "no" or "limited", for reasons that hold these words."""

    assessable: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Same:
    """The answer of the case as it was, to the byte."""


@dataclass(frozen=True)
class Row:
    """One bad input.

    Attributes
    ----------
    name
        What is wrong.
    spoil
        Makes it from the bundled case.
    studies
        Algorithms that it fits.
    slow
        Those of them that have to predict for it, which takes them long.
    """

    name: str
    spoil: Spoil
    expected: Refused | Doubted | Same
    studies: tuple[Study, ...] = ALL
    slow: tuple[Study, ...] = ()


def refused(*words: str) -> Refused:
    return Refused(words)


def doubted(assessable: str, *words: str) -> Doubted:
    return Doubted(assessable, words)


def _without_values(found: list[dict[str, object]]) -> None:
    for item in found:
        item["value"] = None


def _mask_of(low: float, high: float) -> Spoil:
    """Draw all that lies between two densities."""

    def spoil(case: Laid) -> None:
        ct = sitk.ReadImage(str(case.scan))
        voxels(mask, lambda _: sitk.GetArrayFromImage(sitk.BinaryThreshold(ct, low, high)))(case)

    return spoil


DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 5_000

INPUTS_JSON = (
    Row("inputs.json is missing", removed(inputs), refused("inputs.json is missing")),
    Row("inputs.json is empty", content(inputs, ""), refused("inputs.json is not valid JSON")),
    Row("inputs.json is no JSON", content(inputs, "hello"), refused("inputs.json is not valid JSON")),
    Row("inputs.json is cut off", cut_to(inputs, 0.5), refused("inputs.json is not valid JSON")),
    Row("inputs.json is nested 100,000 deep", content(inputs, DEEP), refused("inputs.json is not valid JSON")),
    Row("inputs.json holds an integer of 5,000 digits", content(inputs, f"[{HUGE}]"), refused("is not valid JSON")),
    Row("inputs.json is in UTF-16", content(inputs, "[]".encode("utf-16")), refused("is not valid JSON")),
    Row("inputs.json holds NaN", content(inputs, "[NaN]"), refused("NaN is not a JSON number")),
    Row("inputs.json is an object", content(inputs, "{}"), refused("is not a list of inputs")),
    Row("inputs.json is a number", content(inputs, "5"), refused("is not a list of inputs")),
    Row("inputs.json lists nothing", content(inputs, "[]"), refused("(none) are not a combination")),
    Row("inputs.json lists a number", content(inputs, "[5]"), refused("without the slug and relative_path")),
    Row(
        "inputs.json has a key twice",
        lambda case: case.inputs.write_text(case.inputs.read_text().replace('"slug"', '"slug": "other", "slug"', 1)),
        refused("inputs.json is not valid JSON", "'slug' twice"),
    ),
    Row("inputs.json is a folder", as_folder(inputs), refused("inputs.json is not a regular file")),
    Row("inputs.json is a named pipe", as_pipe(inputs), refused("inputs.json is not a regular file")),
    Row("inputs.json leads to /dev/zero", as_link(inputs, "/dev/zero"), refused("is not a regular file")),
    Row("inputs.json holds 20 GB", sparse(inputs, 20 * 10**9), refused("20,000 MB")),
    Row("a socket is named twice", items(lambda found: [*found, found[0]]), refused("names", "twice")),
    Row("a socket is unknown", socket(slug="something"), refused("are not a combination that")),
    Row("a slug is a number", socket(slug=5), refused("without the slug and relative_path")),
    Row("a slug is a list", socket(slug=["ct-image"]), refused("without the slug and relative_path")),
    Row("a socket is text", items(lambda found: found[0].update(socket="ct-image")), refused("without the slug")),
    Row("the first input is left out", items(lambda found: found[1:]), refused("are not a combination that")),
    Row("a path leads out", socket(relative_path="../../etc"), refused("leads out of its folder")),
    Row("a path is absolute", socket(relative_path="/etc"), refused("leads out of its folder")),
    Row("a path holds NUL", socket(relative_path="images/\0"), refused("characters that no path can have")),
    Row("a path is half a surrogate", socket(relative_path="images/\ud800"), refused("no path can have, or too many")),
    Row("a path has 5,000 characters", socket(relative_path="x" * 5000), refused("no path can have, or too many")),
    Row("a path is empty", socket(relative_path=""), refused("leads out of its folder")),
    Row(
        "an image's name is a list",
        items(lambda found: found[0].update(image={"name": ["a"]})),
        Same(),
        (BLADDER, LIVER, SARCOMA),
    ),
)

FILES = (
    Row("the scan's folder is missing", without_folder, refused("found no image")),
    Row("the scan is missing", removed(scan), refused("found no image")),
    Row("there are two scans", copied_beside(scan), refused("found 2 files")),
    Row("the scan is empty", content(scan, b""), refused("0 bytes")),
    Row("the scan is a folder", as_folder(scan), refused("is a folder")),
    Row("the scan is a named pipe", as_pipe(scan), refused("is not a regular file")),
    Row("the scan leads to /dev/zero", as_link(scan, "/dev/zero"), refused("is not a regular file")),
    Row("the scan leads nowhere", as_link(scan, "nowhere"), refused("cannot be read (No such file")),
    Row("the scan leads to itself", lambda case: as_link(scan, case.scan.name)(case), refused("cannot be read")),
    Row("the scan lies elsewhere", linked_out(scan), refused("leads out of")),
    Row("the scan is text", content(scan, b"hello"), refused("at its beginning")),
    Row("the scan is noise", content(scan, np.random.default_rng(0).bytes(50_000)), refused("at its beginning")),
    Row("the scan is cut in half", cut_to(scan, 0.5), refused("cut off")),
    Row(
        "the scan is cut after 100 bytes", lambda case: case.scan.write_bytes(case.scan.read_bytes()[:100]), refused("")
    ),
    Row("the scan is a picture", content(scan, b"\x89PNG\r\n\x1a\n" + bytes(200)), refused("is a PNG picture")),
    Row(
        "the scan is a pointer of Git LFS",
        content(scan, b"version https://git-lfs.github.com/spec/v1\n"),
        refused("Git LFS"),
    ),
    Row("the mask is missing", removed(mask), refused("found no image")),
    Row("the mask is empty", content(mask, b""), refused("0 bytes")),
    Row("the mask is a named pipe", as_pipe(mask), refused("is not a regular file")),
    Row("the mask is cut at 90 %", cut_to(mask, 0.9), refused("cut off")),
    Row("the mask is text", content(mask, b"hello"), refused("")),
    Row("the scan is HDF5", content(scan, b"\x89HDF\r\n\x1a\n" + bytes(2000)), refused("")),
)

HEADERS = (
    Row("the magic is another", header(scan, ObjectType="Image\nNonsense = 1"), Same(), (BLADDER, LIVER, SARCOMA)),
    Row(
        "the first line is damaged",
        lambda case: case.scan.write_bytes(b"\0" + case.scan.read_bytes()),
        refused("unknown format"),
        SCANS,
    ),
    Row(
        "a gzip of garbage",
        lambda case: (content(scan, b"\x1f\x8b\x08" + bytes(range(200)))(case), renamed(scan, "x.nii.gz")(case)),
        refused("x.nii.gz is damaged"),
        SCANS,
    ),
    Row("a scan under another ending", renamed(scan, "scan.nii.gz"), Same(), (BLADDER, LIVER, SARCOMA)),
    Row("a scan called .tif", renamed(scan, "scan.tif"), refused("scan.tif cannot be read as a TIFF"), SCANS),
    Row("a scan called .dcm", renamed(scan, "scan.dcm"), refused("scan.dcm"), SCANS),
    Row("NDims is 9993", header(scan, NDims="9993"), refused("NDims = 9993"), SCANS),
    Row("NDims is 0", header(scan, NDims="0"), refused("NDims = 0"), SCANS),
    Row("NDims is another digit", header(scan, NDims="\u00b3"), refused("NDims"), SCANS),
    Row(
        "a flat image",
        image(scan, lambda found: found[:, :, found.GetSize()[2] // 2]),
        refused("is a flat image"),
        SCANS,
    ),
    Row("a 4D image", image(scan, lambda found: sitk.JoinSeries([found, found])), refused("4 dimensions"), SCANS),
    Row(
        "RGB",
        image(scan, lambda found: sitk.Compose([sitk.Cast(found, sitk.sitkUInt8)] * 3)),
        refused("3 channels"),
        SCANS,
    ),
    Row("more voxels than any memory", header(scan, DimSize="65535 65535 65535"), refused("cut off"), SCANS),
    Row("more voxels than any number", header(scan, DimSize="1e30 1e30 1e30"), refused("at most 65,535"), SCANS),
    Row("no voxels", header(scan, DimSize="0 10 10"), refused("expected 1 or more"), SCANS),
    Row("fewer than no voxels", header(scan, DimSize="-5 10 10"), refused("expected 1 or more"), SCANS),
    Row("half a voxel", header(scan, DimSize="10.5 10 10"), refused("DimSize"), SCANS),
    Row("a size in words", header(scan, DimSize="a b c"), refused("DimSize = a b c"), SCANS),
    Row("a spacing of 0", header(scan, ElementSpacing="0 1 1"), refused("expected sizes above 0"), SCANS),
    Row("a negative spacing", header(scan, ElementSpacing="1 1 -5"), refused("expected sizes above 0"), SCANS),
    Row("a spacing that is no number", header(scan, ElementSpacing="1 nan 1"), refused("ElementSpacing"), SCANS),
    Row(
        "a spacing of 1 um",
        header(scan, ElementSpacing="0.001 0.001 0.001"),
        refused("0.001 x 0.001 x 0.001 mm"),
        SCANS,
    ),
    Row(
        "a spacing of 1,000 mm", header(scan, ElementSpacing="1000 1000 1000"), refused("1000 x 1000 x 1000 mm"), SCANS
    ),
    Row("a spacing of 1e300 mm", header(scan, ElementSpacing="1e300 1 1"), refused("expected finite numbers"), SCANS),
    Row("slices of 1,000 mm", header(scan, ElementSpacing="1 1 1000"), refused("1 x 1 x 1000 mm"), SCANS),
    Row("an origin beyond all", header(scan, Offset="1e300 0 0"), refused("1e+300"), SCANS),
    Row(
        "axes that are not at right angles",
        header(scan, TransformMatrix="1 0 0 0.3 0.95 0 0 0 1"),
        refused("is sheared"),
        SCANS,
    ),
    Row("axes of no length", header(scan, TransformMatrix="0 0 0 0 0 0 0 0 0"), refused("expected"), SCANS),
    Row("twice the same axis", header(scan, TransformMatrix="1 0 0 1 0 0 0 0 1"), refused("is sheared"), SCANS),
    Row(
        "a mirrored direction",
        header(scan, TransformMatrix="-1 0 0 0 1 0 0 0 1"),
        refused("does not lie on the grid"),
        (BLADDER, LIVER, SARCOMA),
    ),
    Row("a CT beside its PET", header(scan, TransformMatrix="-1 0 0 0 1 0 0 0 1"), refused("share 0%"), (LUNG,)),
    Row("an unknown type of voxels", header(scan, ElementType="MET_NONSENSE"), refused("MET_NONSENSE"), SCANS),
    Row("another type of voxels", header(scan, ElementType="MET_DOUBLE"), refused("cut off"), SCANS),
    Row("voxels in a file outside", header(scan, ElementDataFile="../../../secret.raw"), refused("leads out"), SCANS),
    Row(
        "voxels in /dev/zero",
        header(scan, ElementDataFile="/dev/zero", CompressedData="False"),
        refused("leads out"),
        SCANS,
    ),
    Row("voxels in no file", header(scan, ElementDataFile="LIST"), refused("has its voxels in"), SCANS),
    Row(
        "a billion files of voxels",
        header(scan, ElementDataFile="%d.raw 1 1000000000 1"),
        refused("1,000,000,000 files"),
        SCANS,
    ),
    Row("voxels that do not unpack", stored_as(scan, b"x" * 5000), refused("cannot be unpacked"), SCANS),
    Row("voxels of another stream", stored_as(scan, zlib.compress(bytes(100))), refused("cut off"), SCANS),
    Row("1 GB behind 1 MB", bomb(scan), refused("cut off"), SCANS),
    Row(
        "a header without end",
        content(scan, b"ObjectType = Image\n" + b"Comment = x\n" * 20_000),
        refused("ElementDataFile"),
        SCANS,
    ),
    Row("a comment of 60 kB", header(scan, Comment="x" * 60_000), Same(), (BLADDER, LIVER, SARCOMA)),
    Row("bytes before the voxels", header(scan, HeaderSize="99999999"), refused("HeaderSize"), SCANS),
    Row("sizes in inches", header(scan, DistanceUnits="in"), refused("gives its sizes in in"), SCANS),
    Row("a slope that is no number", header(scan, ElementToIntensityFunctionSlope="nan"), refused("Slope"), SCANS),
    Row("a slope of 1e300", header(scan, ElementToIntensityFunctionSlope="1e300"), refused(""), SCANS),
)

VOXELS = (
    Row("one voxel is NaN", voxels(scan, at(7, np.nan)), refused("not a finite number"), SCANS),
    Row("one voxel is infinite", voxels(scan, at(7, np.inf)), refused("not a finite number"), SCANS),
    Row("all voxels are 0", voxels(scan, np.zeros_like), refused("is not in HU"), SCANS),
    Row("all voxels are -1000", voxels(scan, lambda array: np.full_like(array, -1000)), refused("is not in HU"), SCANS),
    Row(
        "values times 1e34",
        voxels(scan, lambda array: array.astype(np.float32) * np.float32(1e34)),
        refused("is not in HU"),
        SCANS,
    ),
    Row(
        "values times 1e-34",
        voxels(scan, lambda array: array.astype(np.float64) * 1e-34),
        refused("is not in HU"),
        SCANS,
    ),
    Row("HU + 1024", voxels(scan, lambda array: array + 1024), refused("is not in HU"), SCANS),
    Row("HU without negative values", voxels(scan, lambda array: array.clip(0)), refused("is not in HU"), SCANS),
    Row(
        "an MR instead of the CT",
        voxels(scan, lambda array: (400 + array * 0.3).clip(1)),
        refused("is not in HU"),
        SCANS,
    ),
    Row(
        "noise instead of the CT",
        voxels(scan, lambda array: np.random.default_rng(0).integers(-32000, 32000, array.shape, np.int16)),
        refused("is not in HU"),
        SCANS,
    ),
    Row(
        "the mask instead of the CT",
        lambda case: case.scan.write_bytes(case.mask.read_bytes()),
        refused("is not in HU"),
        SCANS,
    ),
)

WHOLE = voxels(mask, np.ones_like)

MASKS = (
    Row("an empty mask", voxels(mask, np.zeros_like), refused("is empty"), SCANS),
    Row("the mask is the whole image", WHOLE, refused("of the scan"), SCANS),
    Row("a mask of one voxel", voxels(mask, only_middle_of), refused("one voxel"), (SARCOMA,)),
    Row(
        "a mask of one voxel of a node",
        voxels(mask, only_middle_of),
        refused("holds nothing larger than"),
        (BLADDER, LIVER),
    ),
    Row(
        "a mask of one voxel, of a primary",
        voxels(mask, only_first_of_1),
        doubted("limited", "less than PET"),
        (LUNG,),
        slow=(LUNG,),
    ),
    Row("half of all voxels at random", voxels(mask, noise(0.5, 1)), refused("looks like noise"), SCANS),
    Row("a fiftieth of all voxels at random", voxels(mask, noise(0.02, 1)), refused("looks like noise"), SCANS),
    Row("five labels at random", voxels(mask, noise(0.9, 5)), refused(""), SCANS),
    Row("2,000 labels at random", voxels(mask, noise(0.9, 2000)), refused(""), SCANS),
    Row("a mask with fractions", voxels(mask, lambda array: array * np.float32(0.4)), refused("fractions"), SCANS),
    Row("a mask with NaN", voxels(mask, at(7, np.nan)), refused("not a finite number"), SCANS),
    Row("a mask with negative labels", voxels(mask, lambda array: -array.astype(np.int16)), refused(""), SCANS),
    Row(
        "a mask with the label 7 million",
        voxels(mask, lambda array: array.astype(np.int32) * 7_000_000),
        refused("whole numbers from 0 to 65535"),
        (BLADDER, LIVER, LUNG),
    ),
    Row(
        "a mask with a label that has no name",
        voxels(mask, lambda array: array * 7),
        refused("the label 7"),
        (SARCOMA,),
    ),
    Row("the mask of a moved scan", header(mask, Offset="5 5 5"), refused("does not lie on the grid"), SCANS),
    Row(
        "a mask of another spacing",
        header(mask, ElementSpacing="2.5 2.5 2.5"),
        refused("does not lie on the grid"),
        SCANS,
    ),
    Row(
        "a mask with one slice less",
        image(mask, lambda found: found[:, :, 1:]),
        refused("does not lie on the grid"),
        SCANS,
    ),
    Row("an RGB mask", image(mask, lambda found: sitk.Compose([found] * 3)), refused("3 channels"), SCANS),
    Row("a flat mask", image(mask, lambda found: found[:, :, 0]), refused("does not lie on the grid"), SCANS),
    Row("the scan instead of the mask", mask_is_the_scan, refused(""), SCANS),
    Row(
        "the mask of a mirrored patient",
        header(mask, TransformMatrix="-1 0 0 0 1 0 0 0 1"),
        refused("does not lie on the grid"),
        SCANS,
    ),
    Row("a mask in air", _mask_of(-2000, -800), refused("is no tumour"), (SARCOMA,)),
    Row("a mask of bone", _mask_of(400, 3000), refused("is no tumour"), (SARCOMA,)),
)

OF_SEVERAL = (
    Row("PET in Bq/ml", voxels(pet, lambda array: array * np.float32(5000)), refused("is not in SUV"), (LUNG, SARCOMA)),
    Row("PET without uptake", voxels(pet, np.zeros_like), refused("no uptake"), (LUNG, SARCOMA)),
    Row(
        "PET times 1e34", voxels(pet, lambda array: array * np.float32(1e34)), refused("is not in SUV"), (LUNG, SARCOMA)
    ),
    Row("PET with NaN", voxels(pet, at(7, np.nan)), refused("not a finite number"), (LUNG, SARCOMA)),
    Row("negative PET", voxels(pet, lambda array: -array), refused("uptake"), (LUNG, SARCOMA)),
    Row("CT and PET exchanged", exchanged(scan, pet), refused("is not in HU"), (LUNG,)),
    Row("CT and PET exchanged, with a mask on each", exchanged(scan, pet), refused(""), (SARCOMA,)),
    Row(
        "the CT twice",
        lambda case: pet(case).write_bytes(case.scan.read_bytes()),
        refused("has values down to"),
        (LUNG,),
    ),
    Row("a PET of 1,000 mm", header(pet, ElementSpacing="1000 1000 1000"), refused("1000 x 1000"), (LUNG, SARCOMA)),
    Row("a PET elsewhere", header(pet, Offset="3000 0 0"), refused("PET and CT share 0%"), (LUNG,)),
    Row("no signal in the MR", voxels(mr, np.zeros_like), refused("no signal"), (SARCOMA,)),
    Row(
        "MR times 1e34",
        voxels(mr, lambda array: array.astype(np.float32) * np.float32(1e34)),
        refused("t1-mri"),
        (SARCOMA,),
    ),
    Row(
        "the same signal everywhere in the MR",
        voxels(mr, lambda array: np.full_like(array, 100)),
        refused("t1-mri"),
        (SARCOMA,),
    ),
    Row(
        "a CT instead of the MR", voxels(mr, lambda array: array.astype(np.int16) - 1000), refused("t1-mri"), (SARCOMA,)
    ),
    Row("a chest that stands on its head", both_turned(0), doubted("no", "head"), (LUNG,), slow=(LUNG,)),
    Row("a mirrored chest", both_turned(2), doubted("limited", "mirrored"), (LUNG,), slow=(LUNG,)),
)

JSON_VALUES = (
    Row(
        "the value is missing",
        lambda case: (removed(value)(case), items(_without_values)(case)),
        refused("is missing"),
        (LUNG, SARCOMA),
    ),
    Row("the value is no JSON", content(value, "hello"), refused("is not valid JSON"), (LUNG, SARCOMA)),
    Row("the value is a list", content(value, "[]"), refused("is not of type 'object'"), (LUNG, SARCOMA)),
    Row("the value is text", content(value, '"x"'), refused("is not of type 'object'"), (LUNG, SARCOMA)),
    Row("the value is nested 100,000 deep", content(value, DEEP), refused("is not valid JSON"), (LUNG, SARCOMA)),
    Row(
        "the value is nested 900 deep",
        content(value, '{"x": ' + "[" * 900 + "]" * 900 + "}"),
        refused(""),
        (LUNG, SARCOMA),
    ),
    Row("the value is NaN", content(value, '{"age_years": NaN}'), refused("NaN is not a JSON number"), (LUNG, SARCOMA)),
    Row("the value has an unknown key", known(colour="red"), refused("'colour' was unexpected"), (LUNG, SARCOMA)),
    Row(
        "the value has a key twice",
        content(value, '{"sex": "male", "sex": "female"}'),
        refused("'sex' twice"),
        (LUNG, SARCOMA),
    ),
    Row("the value is a folder", as_folder(value), refused("is not a regular file"), (LUNG, SARCOMA)),
    Row("the value is a named pipe", as_pipe(value), refused("is not a regular file"), (LUNG, SARCOMA)),
    Row("an age in words", known(age_years="sixty"), refused("age_years: 'sixty'"), (SARCOMA,)),
    Row("an age of 6_9", known(age_years="6_9"), refused("age_years: '6_9'"), (SARCOMA,)),
    Row("an age as text", known(age_years="69"), refused("age_years: '69'"), (SARCOMA,)),
    Row("a negative age", known(age_years=-1), refused("age_years: -1"), (SARCOMA,)),
    Row("an age in days", known(age_years=25_000), refused("age_years: 25000"), (SARCOMA,)),
    Row(
        "an age a thousand times too small",
        known(age_years=0.058),
        doubted("limited", "Age (0 years): outside"),
        (SARCOMA,),
    ),
    Row("an infinite age", content(value, '{"age_years": 1e999}'), refused("not a finite number"), (SARCOMA,)),
    Row("a true age", known(age_years=True), refused("age_years: True"), (SARCOMA,)),
    Row("a grade in numbers", known(grade=3), refused("grade: 3"), (SARCOMA,)),
    Row("a sex in capitals", known(sex="MALE"), refused("sex: 'MALE'"), (SARCOMA,)),
    Row("a side that is none", known(primary_side="up"), refused("primary_side: 'up'"), (LUNG,)),
    Row("an edition that is none", known(tnm_edition=7), refused("tnm_edition: 7"), (LUNG,)),
    Row("an edition as text", known(tnm_edition="9"), refused("tnm_edition: '9'"), (LUNG,)),
)

WHITE = np.full((1024, 1024, 3), 255, np.uint8)
PINK = np.full((2048, 2048, 3), (235, 165, 215), np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, PINK.shape, np.uint8)

SLIDES = (
    Row("no resolution", without_resolution, refused("does not state its resolution"), (PRIMARY,)),
    Row("a resolution of 1 m", tag(scan, "XResolution", 1), refused("expected"), (PRIMARY,)),
    Row("pixels of 100 um", slide_of(WHITE, um_per_pixel=100), refused("100 micrometres per pixel"), (PRIMARY,)),
    Row("pixels of 0.001 um", slide_of(WHITE, um_per_pixel=0.001), refused("0.001 micrometres per pixel"), (PRIMARY,)),
    Row("a slide too coarse", slide_of(WHITE, um_per_pixel=8), refused("at a higher magnification"), (PRIMARY,)),
    Row("all white", slide_of(WHITE), refused("has no tissue that can be assessed"), (PRIMARY,)),
    Row("all black", slide_of(WHITE * 0), refused("has no tissue that can be assessed"), (PRIMARY,)),
    Row(
        "all of one pink",
        slide_of(PINK),
        doubted("no", "No item of the score card could be assessed"),
        (PRIMARY,),
        slow=(PRIMARY,),
    ),
    Row(
        "noise in colour",
        slide_of(NOISE),
        doubted("no", "No item of the score card could be assessed"),
        (PRIMARY,),
        slow=(PRIMARY,),
    ),
    Row("a slide in grey", slide_of(WHITE[..., 0], photometric="minisblack"), refused("is grey"), (PRIMARY,)),
    Row("a slide in strips", slide_of(WHITE, tile=None), refused("is not tiled"), (PRIMARY,)),
    Row("a slide of one pixel", slide_of(WHITE[:1, :1]), refused(""), (PRIMARY,)),
    Row("16 bits that hold 8", slide_of(WHITE.astype(np.uint16)), refused("16 bits"), (PRIMARY,)),
    Row("decimals", slide_of(WHITE.astype(np.float32)), refused("decimal"), (PRIMARY,)),
    Row("tiles of garbage", tiles_of_garbage, refused("cannot be decoded"), (PRIMARY,)),
    Row("tiles 1.4e9 wide", tag(scan, "TileWidth", 1_400_000_000), refused("does not fit"), (PRIMARY,)),
    Row("tiles of no width", tag(scan, "TileWidth", 0), refused("its largest image", "is not tiled"), (PRIMARY,)),
    Row("65,000 x 65,000 pixels without data", header_alone, refused("does not fit"), (PRIMARY,)),
    Row("4e9 pixels wide", tag(scan, "ImageWidth", 4_000_000_000), refused("does not fit"), (PRIMARY,)),
    Row("an unknown compression", tag(scan, "Compression", 60_000), refused("compress"), (PRIMARY,)),
    Row("tiles beyond the file", tag(scan, "TileOffsets", 2**40), refused("does not fit"), (PRIMARY,)),
    Row(
        "a rotated slide",
        slide_of(WHITE, extratags=[(274, "H", 1, 6, True)]),
        refused("rotated or mirrored"),
        (PRIMARY,),
    ),
    Row("a directory that leads back", directory_again, Same(), (PRIMARY,), slow=(PRIMARY,)),
    Row(
        "a big TIFF of nothing", content(scan, b"II+\0\x08\0\0\0" + b"\xff" * 500), refused("is not tiled"), (PRIMARY,)
    ),
    Row(
        "a TIFF of nothing",
        content(scan, b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 500),
        refused("cut off"),
        (PRIMARY,),
    ),
    Row("a slide called .svs", renamed(scan, "slide.svs"), Same(), (PRIMARY,), slow=(PRIMARY,)),
    Row("a slide called .mha", renamed(scan, "slide.mha"), Same(), (PRIMARY,), slow=(PRIMARY,)),
    Row(
        "a MetaImage called .tif",
        content(scan, (LIVER.folder / "test/desmoplastic_mask/input/images/ct/desmoplastic_mask.mha").read_bytes()),
        refused("cannot be read as a"),
        (PRIMARY,),
    ),
    Row("a mask of another slide", tiff_mask(lambda drawn: drawn[:200, :200]), refused("mm high"), (PRIMARY,)),
    Row(
        "a mask of another resolution", tiff_mask(lambda drawn: drawn, um_per_pixel=2.0), refused("mm high"), (PRIMARY,)
    ),
    Row(
        "a mask of the slide without resolution",
        tiff_mask(lambda drawn: drawn, resolutionunit="NONE"),
        refused("does not state its resolution"),
        (PRIMARY,),
    ),
    Row("an empty mask of the slide", tiff_mask(np.zeros_like), refused("is empty"), (PRIMARY,)),
    Row("a mask of the slide with the label 7", tiff_mask(lambda drawn: drawn * 7), refused("the label 7"), (PRIMARY,)),
    Row("a mask of the whole slide", tiff_mask(np.ones_like), doubted("limited"), (PRIMARY,), slow=(PRIMARY,)),
    Row("a mask of one pixel", tiff_mask(only_middle_of), refused("tissue"), (PRIMARY,)),
    Row(
        "a mask of background",
        tiff_mask(lambda drawn: 1 - drawn),
        doubted("no", "too little tissue"),
        (PRIMARY,),
        slow=(PRIMARY,),
    ),
    Row("a mask of the slide at random", tiff_mask(noise(0.6, 1)), doubted("limited"), (PRIMARY,), slow=(PRIMARY,)),
    Row(
        "a mask in colour",
        tiff_mask(lambda drawn: np.stack([drawn] * 3, -1), photometric="rgb"),
        refused("3 dimensions"),
        (PRIMARY,),
    ),
)

ROWS = (*INPUTS_JSON, *FILES, *HEADERS, *VOXELS, *MASKS, *OF_SEVERAL, *JSON_VALUES, *SLIDES)
