"""Every lock installs without a compiler on every platform and Python that the README names: as asked when it was made."""

import csv
import itertools
import runpy

import pytest

from tests.conftest import ROOT

PLATFORMS = runpy.run_path(str(ROOT / "requirements" / "platforms.py"))


def test_every_lock_was_asked_for_on_every_platform_and_installs() -> None:
    with PLATFORMS["TABLE"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = {(row["lock"], row["python"], row["platform"]) for row in rows}
    assert asked == set(itertools.product(PLATFORMS["LOCKS"], PLATFORMS["PYTHONS"], PLATFORMS["PLATFORMS"]))
    assert [row for row in rows if row["installs"] != "yes"] == []


@pytest.mark.parametrize("lock", PLATFORMS["LOCKS"])
def test_the_table_was_made_for_the_locks_as_they_are(lock: str) -> None:
    with PLATFORMS["TABLE"].open(newline="", encoding="utf-8") as file:
        made_for = {row["sha256"] for row in csv.DictReader(file) if row["lock"] == lock}
    assert made_for == {PLATFORMS["digest_of"](lock)}, "run requirements/platforms.py"
