"""The doctor says first what can be done here, and fails where nothing can."""

import pytest
from typer.testing import CliRunner

import preop
from preop.cli import doctor
from preop.cli.commands import app
from preop.errors import MissingToolError, PreopError


def test_abilities_come_first_and_each_says_what_to_type() -> None:
    said = CliRunner().invoke(app, ["doctor"]).output.splitlines()
    assert said[0] == "Here you can"
    assert said[1].startswith("yes run: ")
    assert "sarcoma_lung_metastasis" in said[1]
    assert [line.split(":")[0][4:] for line in said[1:5]] == ["run", "train", "review masks", "export"]


def test_nothing_works_without_packages_and_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_engine(name: str) -> None:
        raise PreopError(name)

    monkeypatch.setattr(doctor, "_installed", lambda *_: False)
    monkeypatch.setattr(doctor, "find_engine", no_engine)
    monkeypatch.setattr(doctor, "examine", list)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.output.count("no  ") == 4
    assert isinstance(done.exception, MissingToolError)


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"preop {preop.__version__}\n"
