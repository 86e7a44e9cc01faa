"""A file is read as its standard says, or refused with the reason: NIfTI against nibabel, the others against what was written."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from preop.errors import InvalidInputError
from preop.imaging import files_of, read_geometry, read_image

AFFINE = np.array([[-0.8, 0, 0, 40], [0, 0.9, 0, -30], [0, 0, 2.5, 12], [0, 0, 0, 1.0]])
VOXELS = np.random.default_rng(0).integers(-1000, 1000, (7, 6, 5)).astype(np.int16)
LPS = np.diag([-1.0, -1, 1, 1])


def refused(path: Path, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as raised:
        read_image(path)
    assert "\n" not in str(raised.value)
    assert path.name.split(".")[0] in str(raised.value)


def nifti(
    path: Path,
    voxels: np.ndarray = VOXELS,
    *,
    affine: np.ndarray = AFFINE,
    edit: Callable[[Any], None] | None = None,
    kind: type = nib.Nifti1Image,
) -> Path:
    """Save by nibabel, with sform and qform, and change the header as it lies in the file."""
    image = kind(voxels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)
    packed = path.name.endswith(".gz")
    raw = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    header = type(image.header)(bytes(raw[: image.header.sizeof_hdr]), check=False)
    if edit:
        edit(header)
    raw[: image.header.sizeof_hdr] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(raw)) if packed else bytes(raw))
    return path


def agrees_with_nibabel(path: Path, *, tolerance_voxels: float = 1e-4) -> None:
    theirs, ours = nib.load(path), read_image(path)
    assert ours.voxels.T == pytest.approx(np.asarray(theirs.dataobj).reshape(ours.shape[::-1]))  # noqa: SIM300
    for index in ((0, 0, 0), tuple(n - 1 for n in ours.shape), (1, 2, 3)):
        expected = (LPS @ theirs.affine @ [*index[::-1], 1])[:3]
        apart = np.abs(ours.geometry.world_mm(np.array([index]))[0] - expected)
        assert (apart < tolerance_voxels * min(ours.spacing_mm) + 1e-4).all()
    assert read_geometry(path) == ours.geometry


def oblique() -> np.ndarray:
    a, b = 0.3, 0.2
    rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    affine = AFFINE.copy()
    affine[:3, :3] = rotation @ AFFINE[:3, :3]
    return affine


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_and_byte_order_of_nifti_is_read_as_by_nibabel(tmp_path: Path, dtype: type, order: str) -> None:
    voxels = np.abs(VOXELS).astype(dtype) % 250
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype)
    image = nib.Nifti1Image(voxels, oblique(), header)
    nib.save(image, tmp_path / "a.nii.gz")
    agrees_with_nibabel(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr", "a.img"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
def test_files_pairs_and_both_versions_are_read(tmp_path: Path, name: str, kind: type) -> None:
    if (kind is nib.Nifti1Pair) != name.endswith(("hdr", "img")):
        pytest.skip("an ending of the other kind")
    nib.save(kind(VOXELS, AFFINE), tmp_path / name)
    agrees_with_nibabel(tmp_path / name)
    assert len(files_of(tmp_path / name)) == (2 if kind is nib.Nifti1Pair else 1)


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, 3.25), (2.0, -1024.0), (1 / 255, 0.0), (0.0, 7.0)])
def test_stored_values_are_rescaled(tmp_path: Path, slope: float, intercept: float) -> None:
    path = nifti(
        tmp_path / "a.nii",
        edit=lambda header: header.__setitem__("scl_slope", slope) or header.__setitem__("scl_inter", intercept),
    )
    agrees_with_nibabel(path)
    whole = slope in {2, 0}
    assert read_image(path).voxels.dtype.kind == ("i" if whole else "f")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[3, 3, 3] = value
    refused(nifti(tmp_path / "a.nii.gz", voxels), r"a\.nii\.gz holds 1 voxel that is not a finite number")


def test_a_slope_that_is_infinite_is_refused(tmp_path: Path) -> None:
    path = nifti(
        tmp_path / "a.nii",
        edit=lambda header: header.__setitem__("scl_inter", np.nan) or header.__setitem__("scl_slope", 2),
    )
    refused(path, "scl_slope, scl_inter")


def test_a_file_that_is_cut_off_is_refused_with_both_sizes(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, r"a\.nii is cut off: its header promises 420 bytes of voxels, and there are 320")


def test_packed_files_that_are_cut_off_or_damaged_are_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-150])
    refused(path, "is cut off")
    damaged = bytearray(whole)
    damaged[-6] ^= 0xFF  # the checksum of gzip
    path.write_bytes(bytes(damaged))
    refused(path, "is damaged: its compressed data cannot be unpacked")
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:600]))
    refused(path, "promises 420 bytes of voxels, and there are 248")


def test_a_header_that_promises_terabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", edit=lambda header: header["dim"].__setitem__(slice(1, 4), 32000))
    refused(path, "promises 65,536,000,000,000 bytes")


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, value: float) -> None:
    refused(
        nifti(tmp_path / "a.nii", edit=lambda header: header["pixdim"].__setitem__(3, value)),
        r"states voxels of .* \(pixdim\)",
    )


def test_an_sform_without_length_is_refused(tmp_path: Path) -> None:
    refused(
        nifti(tmp_path / "a.nii", edit=lambda header: header.__setitem__("srow_z", 0)),
        "states voxels of 0.8 x 0.9 x 0 mm",
    )


def test_the_sform_wins_over_the_qform_and_that_is_said(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 5
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.set_sform(moved, 1)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    agrees_with_nibabel(tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").notes == (
        "sform and qform place it up to 6.25 voxels apart; the sform was used.",
    )


def test_forms_that_differ_by_less_than_a_tenth_of_a_voxel_need_no_word(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 0.05
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.set_sform(moved, 1)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    agrees_with_nibabel(tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").notes == ()


def test_the_qform_is_used_alone_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", affine=oblique(), edit=lambda header: header.__setitem__("sform_code", 0))
    agrees_with_nibabel(path)
    for change in (("quatern_b", 3.0), ("quatern_c", np.nan)):
        path = nifti(
            tmp_path / "b.nii",
            edit=lambda header, c=change: header.__setitem__("sform_code", 0) or header.__setitem__(*c),
        )
        refused(path, "qform that is no rotation|finite numbers")


def test_a_qform_without_its_sign_is_read_and_a_voxel_offset_that_is_none_is_refused(tmp_path: Path) -> None:
    def without_sign(header: Any) -> None:
        header["sform_code"], header["pixdim"][0] = 0, 0

    agrees_with_nibabel(nifti(tmp_path / "a.nii", affine=oblique() @ np.diag([-1, 1, 1, 1]), edit=without_sign))
    for value, words in ((np.nan, "at which byte"), (-4, "at which byte"), (8, "begin at byte 8, inside its header")):
        refused(nifti(tmp_path / "b.nii", edit=lambda header, v=value: header.__setitem__("vox_offset", v)), words)


def test_a_file_that_does_not_say_where_it_lies_is_read_as_by_nibabel_and_that_is_said(tmp_path: Path) -> None:
    path = nifti(
        tmp_path / "a.nii",
        edit=lambda header: header.__setitem__("sform_code", 0) or header.__setitem__("qform_code", 0),
    )
    agrees_with_nibabel(path)
    assert "neither where it lies nor which side is the left" in read_image(path).notes[0]


@pytest.mark.parametrize(("shear_mm", "words"), [(0.02, "89.54 degrees"), (-0.015, "90.34 degrees")])
def test_a_slight_shear_is_read_and_said(tmp_path: Path, shear_mm: float, words: str) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = shear_mm
    path = nifti(tmp_path / "a.nii", affine=affine, edit=lambda header: header.__setitem__("qform_code", 0))
    agrees_with_nibabel(path, tolerance_voxels=0.1)
    (note,) = read_image(path).notes
    assert words in note
    assert "read with right angles" in note


@pytest.mark.parametrize("shear_mm", [0.05, 0.3, 1.0])
def test_more_shear_is_refused_with_the_amount(tmp_path: Path, shear_mm: float) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = shear_mm
    path = nifti(tmp_path / "a.nii", affine=affine, edit=lambda header: header.__setitem__("qform_code", 0))
    # The last of five slices lies further along y by four times the shear, in voxels of 0.9 mm.
    refused(path, rf"is sheared: its axes y and z meet at .* by up to {shear_mm * 4 / 0.9:.2g}")


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (VOXELS.astype(np.complex64), "complex numbers"),
        (np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "RGB colours"),
        (np.zeros((4, 4, 4, 2), np.int16), r"4 dimensions \(4 x 4 x 4 x 2\)"),
        (np.zeros((4, 4, 4, 1, 3), np.float32), r"5 dimensions \(4 x 4 x 4 x 1 x 3\)"),
    ],
)
def test_what_is_no_single_number_a_voxel_is_refused_by_name(tmp_path: Path, voxels: np.ndarray, words: str) -> None:
    refused(nifti(tmp_path / "a.nii.gz", voxels), words)


def test_one_volume_in_four_dimensions_is_read(tmp_path: Path) -> None:
    for shape in ((7, 6, 5, 1), (7, 6, 5, 1, 1)):
        agrees_with_nibabel(nifti(tmp_path / "a.nii.gz", VOXELS.reshape(shape)))


def test_sizes_in_micrometres_are_converted_and_that_is_said(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[:3] *= 1000
    path = nifti(tmp_path / "a.nii", affine=affine, edit=lambda header: header.__setitem__("xyzt_units", 3))
    image = read_image(path)
    assert image.spacing_mm == pytest.approx((2.5, 0.9, 0.8), rel=1e-5)
    assert image.geometry.origin_mm == pytest.approx((-40, 30, 12), rel=1e-5)
    assert "micrometres" in image.notes[0]


def test_the_content_tells_the_format_not_the_ending(tmp_path: Path) -> None:
    plain, packed = nifti(tmp_path / "plain.nii"), nifti(tmp_path / "packed.nii.gz")
    for source, name in ((plain, "a.nii.gz"), (packed, "b.nii"), (packed, "c.img"), (plain, "D.NII")):
        (tmp_path / name).write_bytes(source.read_bytes())
        assert np.array_equal(read_image(tmp_path / name).voxels, VOXELS.T)


def test_analyze_and_a_missing_half_of_a_pair_are_refused(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(VOXELS, np.eye(4)), tmp_path / "a.img")
    with pytest.raises(InvalidInputError, match=r"Analyze 7\.5 image, which does not say which side is the left"):
        read_image(tmp_path / "a.img")
    nib.save(nib.Nifti1Pair(VOXELS, AFFINE), tmp_path / "b.img")
    (tmp_path / "b.img").unlink()
    refused(tmp_path / "b.hdr", r"its \.img is missing")


MHA = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "1 2 3",
    "ElementSpacing": "0.8 0.9 2.5",
    "DimSize": "7 6 5",
    "ElementType": "MET_SHORT",
}


def metaimage(path: Path, content: bytes | None = None, data: str = "LOCAL", **changes: str | None) -> Path:
    fields = {name: value for name, value in {**MHA, **changes}.items() if value is not None}
    header = "".join(f"{name} = {value}\n" for name, value in fields.items()) + f"ElementDataFile = {data}\n"
    path.write_bytes(header.encode() + (VOXELS.T.tobytes() if content is None else content))
    return path


def agrees_with_itk(path: Path) -> None:
    theirs, ours = sitk.ReadImage(str(path)), read_image(path)
    assert np.array_equal(sitk.GetArrayFromImage(theirs).reshape(ours.shape), ours.voxels)
    for index in ((0, 0, 0), (4, 5, 6), (1, 2, 3)):
        point = theirs.TransformIndexToPhysicalPoint((*index[::-1], *(0,) * (theirs.GetDimension() - 3)))
        assert ours.geometry.world_mm(np.array([index]))[0] == pytest.approx(point[:3])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"TransformMatrix": "0.8 0.6 0 -0.6 0.8 0 0 0 1"},
        {"TransformMatrix": "0 1 0 0 0 -1 1 0 0"},
        {"Offset": None, "Position": "4 5 6"},
        {"ElementSpacing": None, "ElementSize": "0.8 0.9 2.5"},
        {"ElementType": "MET_USHORT"},
        {"NDims": "4", "DimSize": "7 6 5 1", "ElementSpacing": "0.8 0.9 2.5 1", "Offset": "1 2 3 0"}
        | {"TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"},
    ],
)
def test_metaimages_are_read_as_by_itk(tmp_path: Path, changes: dict[str, str | None]) -> None:
    agrees_with_itk(metaimage(tmp_path / "a.mha", **changes))


def test_packed_big_endian_and_text_metaimages_are_read(tmp_path: Path) -> None:
    packed = zlib.compress(VOXELS.T.tobytes())
    agrees_with_itk(metaimage(tmp_path / "a.mha", packed, CompressedData="True", CompressedDataSize=str(len(packed))))
    agrees_with_itk(metaimage(tmp_path / "b.mha", VOXELS.T.astype(">i2").tobytes(), BinaryDataByteOrderMSB="True"))
    text = " ".join(map(str, VOXELS.T.ravel())).encode()
    assert np.array_equal(read_image(metaimage(tmp_path / "c.mha", text, BinaryData="False")).voxels, VOXELS.T)
    (tmp_path / "D.MHA").write_bytes((tmp_path / "a.mha").read_bytes())
    assert np.array_equal(read_image(tmp_path / "D.MHA").voxels, VOXELS.T)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NDims": "9993"}, "states NDims = 9993"),
        ({"NDims": "-3"}, "states NDims = -3"),
        ({"DimSize": "7 6"}, "states DimSize = 7 6; expected 3 finite numbers"),
        ({"DimSize": "7 6 0"}, "states a size of 7 x 6 x 0 voxels"),
        ({"DimSize": "7 6 50"}, "is cut off: its header promises 4,200 bytes of voxels, and there are 420"),
        ({"DimSize": "7000000 6000000 5000000"}, "at most 65,535"),
        ({"DimSize": "65535 65535 65535"}, "is cut off"),
        ({"ElementSpacing": "0.8 0.9 0"}, "states voxels of 0.8 x 0.9 x 0 mm"),
        ({"ElementSpacing": "0.8 0.9 nan"}, "ElementSpacing = 0.8 0.9 nan; expected 3 finite numbers"),
        ({"ElementSpacing": "0.8 -0.9 1"}, "expected sizes above 0"),
        ({"ElementSpacing": None}, "does not state the size of its voxels"),
        ({"ElementType": "MET_STRING"}, "states ElementType = MET_STRING"),
        ({"ElementNumberOfChannels": "3"}, "has 3 channels"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0.3 1"}, "is sheared"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "is sheared"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "states voxels of"),
        ({"DistanceUnits": "um"}, "gives its sizes in um"),
        ({"data": "100%.raw"}, "expected a file, LIST, or a pattern"),
        ({"data": "missing.raw"}, r"has its voxels in missing\.raw, which is missing"),
    ],
)
def test_wrong_metaimages_are_refused_by_what_is_wrong(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    refused(metaimage(tmp_path / "a.mha", **changes), words)


def test_packed_metaimages_that_lack_voxels_or_are_damaged_are_refused(tmp_path: Path) -> None:
    packed = zlib.compress(VOXELS.T.tobytes())
    size = {"CompressedData": "True", "CompressedDataSize": str(len(packed))}
    refused(metaimage(tmp_path / "a.mha", packed, **size, DimSize="7 6 50"), "is cut off: .* and there are 420")
    refused(metaimage(tmp_path / "b.mha", packed[:-40], **size), "is cut off")
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    refused(metaimage(tmp_path / "c.mha", bytes(damaged), **size), "is damaged|is cut off")


def test_a_header_and_its_data_are_read_together(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(VOXELS.T.tobytes())
    agrees_with_itk(metaimage(tmp_path / "a.mhd", b"", data="a.raw"))
    assert [file.name for file in files_of(tmp_path / "a.mhd")] == ["a.mhd", "a.raw"]
    for number, plane in enumerate(VOXELS.T):
        (tmp_path / f"s{number}.raw").write_bytes(plane.tobytes())
    agrees_with_itk(metaimage(tmp_path / "b.mhd", "".join(f"s{n}.raw\n" for n in range(5)).encode(), data="LIST"))
    agrees_with_itk(metaimage(tmp_path / "c.mhd", b"", data="s%d.raw 0 4 1"))


NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "7 6 5",
    "space directions": "(0.8,0,0) (0,0.9,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}


def nrrd(path: Path, content: bytes | None = None, **changes: str | None) -> Path:
    fields = {**NRRD, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    text = "NRRD0004\n" + "\n".join(lines) + "\n\n"
    path.write_bytes(text.encode() + (VOXELS.T.tobytes() if content is None else content))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"space": "right-anterior-superior"},
        {"space_directions": "(0.64,0.48,0) (-0.54,0.72,0) (0,0,2.5)"},
        {"space_directions": "(0,0,-0.8) (0.9,0,0) (0,2.5,0)"},
    ],
)
def test_nrrds_are_read_as_by_itk(tmp_path: Path, changes: dict[str, str]) -> None:
    agrees_with_itk(nrrd(tmp_path / "a.nrrd", **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space_directions": "(0.8,0,0) (0,0.9,0) (0,0,nan)"}, "states voxels of"),
        ({"space_directions": "(0.8,0,0) (0,0.9,0) (0,0,0)"}, "states voxels of 0.8 x 0.9 x 0 mm"),
        ({"space_directions": None, "space_origin": None, "space": None}, "does not state the size of its voxels"),
        ({"space_directions": "(0.8,0,0) (0,0.9,0) (0,0.7,2.5)"}, "is sheared"),
        ({"space": "scanner-xyz"}, "lies in the space scanner-xyz"),
        ({"space_units": '"um" "um" "um"'}, "gives its sizes in um"),
        ({"sizes": "7 6 50"}, "is damaged or cut off"),
        ({"sizes": "7 6"}, "which do not fit together"),
        ({"type": "block"}, "no single number a voxel"),
        ({"data_file": "gone.raw"}, r"has its voxels in gone\.raw, which is missing"),
    ],
)
def test_wrong_nrrds_are_refused_by_what_is_wrong(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    refused(nrrd(tmp_path / "a.nrrd", **changes), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", "is in an unknown format, or damaged at its beginning"),
        (b"\x89PNG\r\n", "is a PNG picture, which does not state the size of its pixels"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (gzip.compress(b"hello" * 100, mtime=0), "is packed by gzip, and what is in it is no NIfTI"),
        (b"\x1f\x8b\x08\x00", "gzip cannot unpack it"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    refused(tmp_path / "a.nii.gz", words)


def test_every_public_image_is_read_as_by_itk(data: Path) -> None:
    for path in [*sorted((data / "sarcoma").glob("STS_00*/*.nii.gz")), data / "liver/crlm_ct_1004.nii.gz"]:
        agrees_with_itk(path)
        assert read_image(path).notes == ()


def test_the_public_examples_of_wrong_nifti(data: Path) -> None:
    refused(data / "faults/nifti/im_nanroi.nii.gz", "19 voxels that are not finite numbers")
    path = data / "faults/nifti/slightly_sheared.nii.gz"
    agrees_with_nibabel(path, tolerance_voxels=0.1)
    assert "0.097 of their size" in read_image(path).notes[-1]
