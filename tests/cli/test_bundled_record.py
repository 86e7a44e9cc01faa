"""The record of the worked example in docs/validation.md is found again, figure by figure, on patients drawn from its seed."""

from pathlib import Path

import pytest

from benchmarks.two_centres import RECORDS, two_centres
from preop.cli import repository
from preop.cli.validating import verify
from preop.cohort.record import read_record

pytestmark = pytest.mark.slow

STUDY = "sarcoma_lung_metastasis"


def test_the_bundled_record_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = repository.find_algorithm(STUDY)
    table = two_centres(study, tmp_path / "simulated")
    verify(
        RECORDS / f"{STUDY}.json",
        {"algorithm": study, "cohort": table, "output": tmp_path / "again", "engine": "process"},
    )
    assert "figures are those of the record." in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_each_bundled_record_is_one_of_the_shipped_model(path: Path) -> None:
    """Who trains a model anew makes its record anew: benchmarks/two_centres.py FOLDER --write."""
    from preop.cohort.record import model_record, refuse_others
    from preop.study import read_model_info

    study = repository.find_algorithm(path.stem)
    record = read_record(path)
    assert record.cohort.simulated
    refuse_others(
        record, model_record(study.folder / "model", read_model_info(study.folder / "model", study, None)), None
    )
