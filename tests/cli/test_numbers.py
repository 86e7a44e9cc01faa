"""A number in an option is a plain decimal number, as in a table."""

import pytest
from typer.testing import CliRunner

from preop.cli.commands import app


@pytest.mark.parametrize("written", ["1_0", "0x10", "nan", "inf", "1e400", "٣", "two", "1.5", "1"])
def test_what_is_no_number_of_patients_is_refused(written: str) -> None:
    done = CliRunner().invoke(app, ["simulate", "sarcoma_lung_metastasis", "--patients", written, "--output", "x"])
    assert done.exit_code == 2
    assert "Invalid value for '--patients'" in done.output


@pytest.mark.parametrize("written", ["0_5", "nan", "inf", "-1", "0", "1e400", "٣"])
def test_what_is_no_resolution_is_refused(written: str) -> None:
    words = ["run", "primary_growth_pattern", "--input", "none", "--output", "none", "--mpp", written]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "Invalid value for '--mpp'" in done.output
