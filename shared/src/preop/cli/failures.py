"""How a command on a cohort ends where patients failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preop.cohort import Outcome


def refuse_failures(outcome: Outcome, where: Path) -> None:
    """End with the failed patients and their reasons, after the results of the others are written."""
    from preop.cohort import FailedPatientsError, failures_told

    if outcome.failures:
        patients = len(outcome.failures) + len(outcome.folders)
        raise FailedPatientsError(failures_told(outcome.failures, patients, where, outcome.log))
