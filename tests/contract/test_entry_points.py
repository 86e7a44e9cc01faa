"""The entry point that the table goes through is that of the container: a process of its own says and writes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.contract.spoiling import as_pipe, content, header, inputs, known, mask, scan, slide_of, voxels
from tests.contract.studies import BLADDER, LIVER, LUNG, PRIMARY, SARCOMA, Study, laid_out, run_apart, run_here

pytestmark = pytest.mark.slow

CHOSEN = {
    "JSON that is none": (BLADDER, content(inputs, "hello")),
    "a named pipe": (LIVER, as_pipe(scan)),
    "NDims of 9993": (LUNG, header(scan, NDims="9993")),
    "a mask of the whole scan": (LUNG, voxels(mask, np.ones_like)),
    "a white slide": (PRIMARY, slide_of(np.full((1024, 1024, 3), 255, np.uint8))),
    "an age in days": (SARCOMA, known(age_years=25_000)),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_process_of_its_own_ends_with_the_same_sentence(name: str, tmp_path: Path) -> None:
    study, spoil = CHOSEN[name]
    case = laid_out(study, tmp_path)
    spoil(case)
    here, apart = run_here(case, tmp_path / "here"), run_apart(case, tmp_path / "apart")
    assert apart.code == here.code == 1
    assert apart.sentence == here.sentence
    assert not apart.left


# The others take minutes, and their processes give the expected bytes in `preop test`.
@pytest.mark.parametrize("study", [BLADDER, LIVER, SARCOMA], ids=lambda study: study.name)
def test_a_model_that_is_shared_gives_the_bytes_of_a_process_of_its_own(study: Study, tmp_path: Path) -> None:
    case = laid_out(study, tmp_path)
    here, apart = run_here(case, tmp_path / "here"), run_apart(case, tmp_path / "apart")
    assert here.code == apart.code == 0
    assert here.left == apart.left
    for name in here.left:
        if (here.output / name).is_file():
            assert (here.output / name).read_bytes() == (apart.output / name).read_bytes(), name
