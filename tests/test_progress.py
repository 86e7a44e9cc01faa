"""Long work speaks where it is no terminal: a line with what is done, what is left, and an estimate."""

import re
import time

import pytest

from preop import progress


def test_a_log_gets_lines_with_what_is_left_and_an_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
    with progress.progress_bar("Running", 4) as advance:
        time.sleep(0.12)
        advance(1)
        time.sleep(0.12)
        advance(3)
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d Running: 0 of 4 done, 4 left", lines[0])
    assert re.fullmatch(r"\d\d:\d\d Running: 1 of 4 done, 3 left, about [01] s to go", lines[-1])
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_work_shorter_than_the_interval_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar("Running", 1) as advance:
        advance(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "words"), [(30, "30 s"), (600, "10 min"), (3 * 3600, "3.0 h")])
def test_times_are_said_as_people_do(seconds: float, words: str) -> None:
    assert progress.duration(seconds) == words
