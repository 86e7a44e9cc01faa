"""A study without a page of its own still gets one, from its description."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import read_case
from preop.grandchallenge.outputs import write_outputs
from preop.report.case import case_page_file
from tests.conftest import scan_of
from tests.report.reading import Page as ReadPage


def test_scan_segmentation_and_values_are_shown(toy: Algorithm, lay_out: Callable[..., Path], tmp_path: Path) -> None:
    scan = scan_of((6, 8, 9))
    case = read_case(toy, lay_out(toy, scan=scan))
    image = case.image("scan")
    regions = image.with_voxels((image.voxels > 0).astype(np.uint8) * 2)
    output = tmp_path / "output"
    output.mkdir()
    heat = image.with_voxels(np.abs(image.voxels))
    write_outputs({"score": 0.25, "regions": regions, "heat": heat}, case, output)
    card = case_page_file(case, output, tmp_path / "case.html")
    read = ReadPage((tmp_path / "case.html").read_text(encoding="utf-8"))
    assert "0.25" in card.sentence
    assert "slices-scan" in read.anchors
    assert "two" in read.text
    assert sitk.GetArrayFromImage(scan).shape == image.shape
