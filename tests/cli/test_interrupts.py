"""Ctrl-C, or SIGTERM, ends a command in time, whatever it is doing."""

import signal
import subprocess
import sys
import time

import pytest

WAITING = {
    "Python": "time.sleep(60)",
    "a library that knows no signals": "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)",
    "a library that catches everything": "\nwhile True:\n  try: time.sleep(60)\n  except BaseException: pass",
    "typer's answer": "\ntry: time.sleep(60)\nexcept KeyboardInterrupt: sys.exit(130)",
}
PROGRAM = """
import hashlib, sys, time
from preop.cli.interrupts import stopping_in_time
def work():
    print("at work", flush=True)
    {}
with stopping_in_time("Stopped.", 130):
    work()
"""


@pytest.mark.parametrize(
    ("what", "sent"),
    [
        *((what, signal.SIGINT) for what in WAITING),
        ("Python", signal.SIGTERM),
        ("a library that knows no signals", signal.SIGTERM),
    ],
)
def test_a_command_ends_within_two_seconds_of_ctrl_c_or_sigterm(what: str, sent: signal.Signals) -> None:
    program = PROGRAM.format(WAITING[what].replace("\n", "\n    "))
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "at work\n"
    time.sleep(0.2)
    start = time.monotonic()
    run.send_signal(sent)
    _, stderr = run.communicate(timeout=30)
    assert time.monotonic() - start < 2
    assert (run.returncode, stderr) == (128 + sent, "Stopped.\n")


def test_other_ends_are_left_alone() -> None:
    program = PROGRAM.format("sys.exit(3)")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 3
