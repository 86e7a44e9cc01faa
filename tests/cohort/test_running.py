"""Whatever happens to one patient, the others are done, and it is told who failed and why."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from preop.cohort import PatientFailedError, map_patients
from preop.errors import InvalidInputError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def fate(what: str) -> str:
    """What may happen to a patient in a process of its own."""
    if what == "refused":
        raise InvalidInputError("The mask is empty.")
    if what == "unforeseen":
        raise ZeroDivisionError("two\nlines")
    if what == "memory":
        raise MemoryError
    if what == "leaves":
        sys.exit(0)
    if what == "exits":
        os._exit(3)
    if what == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "cannot be sent":
        return lambda: None  # type: ignore[return-value]
    return f"{what} is done"


EXPECTED = {
    "refused": "The mask is empty.",
    "unforeseen": "Unexpected internal error (ZeroDivisionError: two lines): please report it with its traceback.",
    "memory": "This machine, or the limit it was given, has not enough memory for this case (MemoryError).",
    "leaves": "Unexpected internal error (SystemExit: 0): please report it with its traceback.",
    "exits": "Its process ended with exit code 3 before the patient was done.",
    "crashes": "Its process crashed (SIGSEGV): an image or mask may be damaged.",
    "killed": "Its process was killed (SIGKILL), as a system does that runs out of memory.",
}


def test_each_failure_is_that_patients_and_the_others_are_done() -> None:
    patients = ["a", *EXPECTED, "cannot be sent", "b", "c"]
    found = {patient: str(result) for patient, result in map_patients(fate, patients, description=None)}
    assert set(found) == set(patients)
    assert {patient: found[patient] for patient in EXPECTED} == EXPECTED
    assert found["cannot be sent"].startswith("Unexpected internal error (")
    assert [found[patient] for patient in "abc"] == ["a is done", "b is done", "c is done"]


def test_who_mends_the_program_finds_the_place() -> None:
    ((_, failure),) = map_patients(fate, ["unforeseen"], description=None)
    assert isinstance(failure, PatientFailedError)
    assert "raise ZeroDivisionError" in failure.details


def test_a_caller_that_stops_early_leaves_no_process() -> None:
    results = map_patients(fate, list("abcdef"), description=None)
    next(results)
    results.close()
    assert not __import__("multiprocessing").active_children()


def test_a_script_without_a_guard_is_told_in_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from preop.cohort import map_patients
        from preop.errors import PreopError
        import math, sys
        try:
            print(*(result for _, result in map_patients(math.sqrt, [4.0, 9.0], description=None)))
        except PreopError as error:
            sys.exit(str(error))
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The calling script would start itself again for each patient: put what it does below if __name__ == '__main__':"
    ]


SLOW = """
from preop.cohort import map_patients
import time, sys
if __name__ == "__main__":
    for _ in map_patients(time.sleep, [0, 60, 60, 60], description=None):
        print("one", flush=True)
"""


def test_workers_end_with_the_process_that_started_them_however_it_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "one\n"
        run.kill()
        run.wait()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and in_session(run.pid):
            time.sleep(0.05)
        assert not in_session(run.pid)


def in_session(session: int) -> list[int]:
    """Processes of a session, but for those that have ended and are not yet waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("patients", [[], ["a"]])
def test_few_patients_need_no_more_processes(patients: list[str]) -> None:
    assert len(list(map_patients(fate, patients, description=None))) == len(patients)
