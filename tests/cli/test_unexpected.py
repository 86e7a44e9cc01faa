"""What nobody foresaw ends in a sentence that says what to report, and where the log is."""

import re
import sys
from pathlib import Path

import pytest

from preop import cli
from preop.cli import commands


def test_an_unforeseen_error_is_one_sentence_with_its_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(commands, "app", broken)
    monkeypatch.setattr(sys, "argv", ["preop", "doctor"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    found = re.fullmatch(
        r"Unexpected internal error \(ZeroDivisionError: two lines\): please report it with its traceback\. "
        r"It is in (\S+); it holds names of files, and no images\.\n",
        said,
    )
    assert found is not None, said
    log = Path(found[1]).read_text()
    assert "raise ZeroDivisionError" in log
    assert "preop doctor" in log
