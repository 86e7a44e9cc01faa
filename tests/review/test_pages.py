"""The pages are built once with Node.js, or one sentence says what is missing; and nothing in them names another address."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from preop.errors import MissingToolError
from preop.review import pages
from preop.review.pages import BUILT_VARIABLE, SOURCES, find_pages


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(BUILT_VARIABLE, raising=False)
    return tmp_path


def test_without_nodejs_one_sentence_says_what_to_install(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty_cache))
    with pytest.raises(MissingToolError, match=r"Node\.js 20\.19 or later"):
        find_pages(print)


@pytest.mark.parametrize("version", ["v18.19.0", "v20.18.3", "nonsense"])
def test_an_old_nodejs_is_told(version: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        (empty_cache / name).write_text(f"#!/bin/sh\necho {version}\n")
        (empty_cache / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{empty_cache}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(MissingToolError, match="cannot be built with Node"):
        find_pages(print)


def test_a_build_that_fails_says_why_and_leaves_nothing(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_cache / "node").write_text("#!/bin/sh\necho v22.0.0\n")
    (empty_cache / "npm").write_text("#!/bin/sh\necho 'npm error network is not reachable' >&2\nexit 1\n")
    for name in ("node", "npm"):
        (empty_cache / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{empty_cache}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(MissingToolError, match="npm error network is not reachable"):
        find_pages(print)
    assert not list((empty_cache / "preop").glob("review-*"))


def test_pages_that_are_built_already_are_taken(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUILT_VARIABLE, str(empty_cache))
    with pytest.raises(MissingToolError, match=r"index\.html"):
        find_pages(print)
    (empty_cache / "index.html").write_text("")
    assert find_pages(print) == empty_cache


def test_pages_are_built_once_for_each_state_of_their_sources(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        folder.mkdir(parents=True)
        (folder / "index.html").write_text("")

    monkeypatch.setattr(pages, "_build", build)
    assert find_pages(print) == find_pages(print)
    monkeypatch.setattr(pages, "_digest", lambda: "other")
    find_pages(print)
    assert len(built) == 2


def test_the_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    text = (SOURCES / "package-lock.json").read_text()
    assert "://" not in text, "an address: also npm's funding entries are taken out"
    lock = json.loads(text)
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_the_sources_of_the_pages_name_no_other_address() -> None:
    files = [path for path in SOURCES.rglob("*") if path.suffix in {".ts", ".css", ".html"}]
    assert len(files) > 8
    assert not [(path.name, found) for path in files for found in re.findall(r"https?://[^\s\"']+", path.read_text())]


def test_no_text_of_the_pages_is_read_as_markup() -> None:
    """Names of patients and files are whatever a table holds."""
    code = "".join(path.read_text() for path in (SOURCES / "src").glob("*.ts"))
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", code)
