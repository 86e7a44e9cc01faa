"""Doing the same for every patient of a cohort, on all cores, with progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from preop.cohort.table import Cohort, Patient
from preop.errors import PreopError

Result = TypeVar("Result")


def map_patients(
    function: Callable[[Patient], Result], cohort: Cohort, *, description: str
) -> Iterator[tuple[Patient, Result | PreopError]]:
    """Call ``function`` for each patient in processes of their own; give each result as soon as it is there.

    An error that a user can meet (``PreopError``) comes back in place of the result and stops no other patient.

    Parameters
    ----------
    function
        A function of a module, so that another process can find it.
    description
        What the progress bar says.
    """
    workers = min(len(cohort.patients), os.cpu_count() or 1)
    # Not forked: a fork of a process that has used threads (SimpleITK, BLAS) can hang.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_prepare, initargs=(list(sys.path),)
    ) as pool:
        patients = {pool.submit(_caught, function, patient): patient for patient in cohort.patients}
        finished = track(
            as_completed(patients), description, total=len(patients), console=Console(stderr=True), transient=True
        )
        for future in finished:
            yield patients[future], future.result()


def _prepare(path: list[str]) -> None:
    """Let the process find the algorithms, and keep it to one thread: the patients share the cores already."""
    sys.path[:] = path
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _caught(function: Callable[[Patient], Result], patient: Patient) -> Result | PreopError:
    try:
        return function(patient)
    except PreopError as error:
        return error
