"""Every lock installs without a compiler on every platform and Python that the README names: as asked when it was made."""

import csv
import itertools
import runpy

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PLATFORMS = runpy.run_path(str(ROOT / "requirements" / "platforms.py"))


def test_every_lock_installs_on_every_platform_but_for_what_the_readme_names() -> None:
    with PLATFORMS["TABLE"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = {(row["lock"], row["python"], row["platform"]) for row in rows}
    assert asked == set(itertools.product(PLATFORMS["LOCKS"], PLATFORMS["PYTHONS"], PLATFORMS["PLATFORMS"]))
    needs_a_compiler = {(row["lock"], row["python"]) for row in rows if row["installs"] != "yes"}
    assert needs_a_compiler == {("hospital", "3.14")}
    assert "on Python 3.14, the lock `hospital` (results as DICOM) needs a compiler" in README


@pytest.mark.parametrize("lock", PLATFORMS["LOCKS"])
def test_the_table_was_made_for_the_locks_as_they_are(lock: str) -> None:
    with PLATFORMS["TABLE"].open(newline="", encoding="utf-8") as file:
        made_for = {row["sha256"] for row in csv.DictReader(file) if row["lock"] == lock}
    assert made_for == {PLATFORMS["digest_of"](lock)}, "run requirements/platforms.py"
