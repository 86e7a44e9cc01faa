"""No page names a command, an algorithm or an option that there is not."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer

from preop.cli.commands import app
from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "evaluation" / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("algorithms/*/README.md")),
]
PREOP = re.compile(r"^(?:alias .*|(?:\.venv/bin/)?preop|\./run\.sh)(?= )")
ANY = re.compile(r"\b(ALGORITHM|NAME|STUDY)\b")
PLACEHOLDERS = re.compile(r"\[[^]]*\]|\.\.\.|#.*$")


def commands_of(page: Path) -> list[str]:
    """Lines of the page's shell blocks that call the command, those that go on in one."""
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if PREOP.match(line) and not line.startswith("alias")]
    return [re.split(r"\s[|>&;]", line)[0] for line in found]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands_of(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_of_a_page_is_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    group = typer.main.get_command(app)
    for line in commands_of(page):
        words = shlex.split(ANY.sub("sarcoma_lung_metastasis", PLACEHOLDERS.sub("", line)))
        arguments = words[1:]
        if words[0] == "./run.sh":
            arguments = ["run", *arguments] if arguments else ["examples"]
        if "--help" in arguments:
            continue
        with group.make_context("preop", arguments) as context:
            name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            command.make_context(name, rest, parent=context).close()  # else the error says which option is unknown


def test_no_benchmark_hides_a_package_by_its_name() -> None:
    """The folder of a script is the first place where Python looks, also for what a package uses where it is installed."""
    looked_for = {"coverage"}  # by numba
    packages = {*sys.stdlib_module_names, *packages_distributions(), *looked_for}
    assert {"statistics", "numpy"} <= packages
    assert packages.isdisjoint(path.stem for path in ROOT.glob("benchmarks/*.py"))
