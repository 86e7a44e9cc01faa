"""Every change is kept, none overwrites another's, and a crash leaves what was."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging import read_geometry, read_image
from preop.review.database import open_database, sqlite_address
from preop.review.records import ConflictError, Records, UnknownPatientError
from preop.review.start import Options, open_records
from preop.review.tables import Base, Phase, State
from tests.review.conftest import CT_MASK, OBLIQUE_GRID, PET_MASK, STRAIGHT_GRID, STUDIES, ball

ONE, TWO, THREE = 1, 2, 3


def save(
    records: Records, patient: int = ONE, reviewer: str = "A", revision: int | None = None, radius: float = 5
) -> int:
    grid = OBLIQUE_GRID if patient == ONE else STRAIGHT_GRID
    known = records.one(patient).revision if revision is None else revision
    return records.save_mask(patient, CT_MASK, ball(grid, radius), reviewer=reviewer, revision=known).revision


def test_patients_are_to_do_at_first(records: Records) -> None:
    assert [(each.name, each.state, each.revision) for each in records.all()] == [
        ("one", State.TO_DO, 0),
        ("two", State.TO_DO, 0),
        ("three", State.TO_DO, 0),
    ]


def test_approving_the_original_approves_it(records: Records) -> None:
    assert records.decide(ONE, "approve", reviewer="A", revision=0).state is State.APPROVED


def test_approving_a_saved_mask_is_a_correction_where_there_was_one_and_a_drawing_where_there_was_none(
    records: Records,
) -> None:
    for patient in (ONE, TWO):
        records.decide(patient, "approve", reviewer="A", revision=save(records, patient))
    assert records.one(ONE).state is State.CORRECTED
    assert records.one(TWO).state is State.DRAWN


def test_a_mask_that_is_saved_after_the_approval_is_to_be_decided_about_again(records: Records) -> None:
    records.decide(ONE, "approve", reviewer="A", revision=0)
    save(records)
    assert records.one(ONE).state is State.TO_DO


def test_a_patient_without_a_mask_cannot_be_approved_but_rejected(records: Records) -> None:
    with pytest.raises(InvalidInputError, match="no mask yet"):
        records.decide(TWO, "approve", reviewer="A", revision=0)
    assert records.decide(TWO, "reject", reviewer="A", revision=0, note="motion").note == "motion"


def test_a_saved_mask_lies_beside_the_original_with_identical_geometry_and_the_original_stays(
    records: Records, cohort: Path
) -> None:
    original = (cohort.parent / "one" / "mask.nii.gz").read_bytes()
    save(records)
    save(records, radius=6)
    assert (cohort.parent / "one" / "mask.nii.gz").read_bytes() == original
    for number, radius in ((1, 5), (2, 6)):
        saved = cohort.parent / "one" / f"mask.r{number}.nii.gz"
        assert read_geometry(saved).difference(read_geometry(cohort.parent / "one" / "mask.nii.gz")) is None
        assert np.array_equal(read_image(saved).voxels, ball(OBLIQUE_GRID, radius).voxels)


def test_a_mask_that_was_missing_is_named_after_its_scan(records: Records, cohort: Path) -> None:
    save(records, TWO)
    assert (cohort.parent / "two" / f"ct.{CT_MASK}.r1.nii.gz").is_file()


def test_a_file_of_that_name_is_never_overwritten(records: Records, cohort: Path) -> None:
    mine = cohort.parent / "one" / "mask.r1.nii.gz"
    mine.write_bytes(b"somebody's")
    save(records)
    assert mine.read_bytes() == b"somebody's"
    current = records.one(ONE).current(CT_MASK)
    assert current is not None
    assert current.path.name == "mask.r2.nii.gz"


def test_the_second_reviewer_is_told_who_was_first_and_writes_nothing(records: Records, cohort: Path) -> None:
    save(records, reviewer="Dr Early", revision=0)
    with pytest.raises(ConflictError, match="Dr Early changed one"):
        save(records, reviewer="Dr Late", revision=0)
    with pytest.raises(ConflictError, match="Dr Early"):
        records.decide(ONE, "approve", reviewer="Dr Late", revision=0)
    assert sorted(path.name for path in (cohort.parent / "one").iterdir()) == [
        "ct.nii.gz",
        "mask.nii.gz",
        "mask.r1.nii.gz",
    ]
    assert records.one(ONE).reviewer == "Dr Early"


def test_two_servers_on_one_database_cannot_both_change_a_revision(
    records: Records, cohort: Path, options: Options
) -> None:
    servers = [records, open_records(cohort, STUDIES, options)]

    def decide(number: int) -> str:
        try:
            servers[number % 2].decide(ONE, "approve", reviewer=f"R{number}", revision=0)
        except ConflictError:
            return "told"
        return "done"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(decide, range(16))) == ["done"] + ["told"] * 15
    assert records.one(ONE).revision == 1
    assert len(records.decisions()) == 1


def test_every_change_is_in_the_history_with_who_and_when(records: Records) -> None:
    records.decide(ONE, "approve", reviewer="A", revision=save(records), note="seen twice")
    records.decide(ONE, "reopen", reviewer="B", revision=2)
    found = [(change.reviewer, change.patient, change.what, change.note) for change in records.history()]
    assert [each[0] for each in found] == ["A", "A", "B"]
    assert found[0][2].startswith(f"saved {CT_MASK}, mask 1")
    assert found[1][2:] == ("to do → corrected", "seen twice")
    assert found[2][2] == "corrected → to do"
    times = [change.at for change in records.history()]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\nb"])
def test_a_change_without_a_proper_name_is_refused(records: Records, name: str) -> None:
    with pytest.raises(InvalidInputError, match="Who is reviewing"):
        records.decide(ONE, "approve", reviewer=name, revision=0)


def test_a_patient_who_left_the_table_is_not_shown_but_kept(records: Records, cohort: Path, options: Options) -> None:
    save(records)
    lines = cohort.read_text().splitlines()
    cohort.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    later = open_records(cohort, STUDIES, options)
    assert [each.name for each in later.all()] == ["two", "three"]
    with pytest.raises(UnknownPatientError):
        later.one(ONE)
    cohort.write_text("\n".join(lines) + "\n")
    assert open_records(cohort, STUDIES, options).one(ONE).revision == 1


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(
    records: Records, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("preop.review.records.write_image", full)
    with pytest.raises(InvalidOutputError, match=r"No space left on device.*--masks"):
        save(records)
    assert records.one(ONE).revision == 0


FAULTS = {
    "before the file has its name": "preop.review.records._move_to_free_name",
    "between the file and the database": "preop.review.records.sha256",
    "in the middle of the transaction": "preop.review.records.Records._advance",
}


def save_and_be_killed(cohort: Path, options: Options, fault: str) -> None:
    """Of a process of its own: save a mask, and be killed where ``fault`` is called."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    pytest.MonkeyPatch().setattr(fault, die)
    save(open_records(cohort, STUDIES, options), reviewer="B", radius=6)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_server_that_is_killed_while_it_saves_loses_nothing(
    records: Records, cohort: Path, options: Options, fault: str
) -> None:
    save(records)
    killed = multiprocessing.get_context("fork").Process(target=save_and_be_killed, args=(cohort, options, fault))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    later = open_records(cohort, STUDIES, options)
    standing = later.one(ONE)
    assert standing.revision == 1
    current = standing.current(CT_MASK)
    assert current is not None
    assert np.array_equal(read_image(current.path).voxels, ball(OBLIQUE_GRID, 5).voxels)
    assert save(later, radius=6) == 2
    saved = later.one(ONE).current(CT_MASK)
    assert saved is not None
    assert np.array_equal(read_image(saved.path).voxels, ball(OBLIQUE_GRID, 6).voxels)


def test_a_reader_answers_once_before_and_once_after(records: Records) -> None:
    with pytest.raises(InvalidInputError, match="own reading first"):
        records.read(ONE, Phase.AFTER, "yes", reader="A")
    records.read(ONE, Phase.BEFORE, "no", reader="A", likelihood=0.2)
    with pytest.raises(ConflictError, match="already"):
        records.read(ONE, Phase.BEFORE, "yes", reader="A")
    records.read(ONE, Phase.AFTER, "yes", reader="A", algorithm_said="0.9")
    records.read(ONE, Phase.BEFORE, "yes", reader="B")
    assert [(row.reader, row.phase, row.answer) for row in records.readings(ONE)] == [
        ("A", "before", "no"),
        ("A", "after", "yes"),
        ("B", "before", "yes"),
    ]


def test_the_tables_are_those_that_the_migrations_make(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = open_database(sqlite_address(tmp_path / "review.sqlite"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_sqlite_lets_readers_read_while_one_writes(tmp_path: Path) -> None:
    engine = open_database(sqlite_address(tmp_path / "review.sqlite"))
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    address = sqlite_address(tmp_path / "review.sqlite")
    with open_database(address).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidInputError, match="later version of preop"):
        open_database(address)


@pytest.mark.parametrize(
    ("address", "said"),
    [("nonsense", "not the address of a database"), ("oracle9://x", "not the address of a database")],
)
def test_an_address_that_is_none_is_refused(address: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        open_database(address)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "review.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(InvalidInputError, match="cannot be used"):
        open_database(sqlite_address(tmp_path / "review.sqlite"))


def test_only_masks_of_the_study_are_saved(records: Records) -> None:
    with pytest.raises(InvalidInputError, match="There is no mask 'other'"):
        records.save_mask(ONE, "other", ball(OBLIQUE_GRID), reviewer="A", revision=0)
    assert records.cohort.mask(PET_MASK).of == "pet-image"
