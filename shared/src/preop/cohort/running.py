"""Doing the same for every patient, on all cores, with progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from preop.errors import PreopError
from preop.study import importable_studies, make_importable

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_patients(
    function: Callable[[Item], Result], patients: Sequence[Item], *, description: str | None
) -> Iterator[tuple[Item, Result | PreopError]]:
    """Call ``function`` for each patient in processes of their own; give each result as soon as it is there.

    An error that a user can meet (``PreopError``) comes back in place of the result and stops no other patient.

    Parameters
    ----------
    function
        A function of a module, so that another process can find it.
    patients
        What it is called with: rows of a cohort, or anything that stands for a patient.
    description
        What the progress bar says; None where the caller shows one.
    """
    if not patients:
        return
    workers = min(len(patients), os.cpu_count() or 1)
    # Not forked: a fork of a process that has used threads (SimpleITK, BLAS) can hang.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_prepare, initargs=(list(sys.path), importable_studies())
    ) as pool:
        running = {pool.submit(_caught, function, patient): patient for patient in patients}
        finished = track(
            as_completed(running),
            description or "",
            total=len(running),
            console=Console(stderr=True),
            transient=True,
            disable=description is None,
        )
        for future in finished:
            yield running[future], future.result()


def _prepare(path: list[str], studies: list[Path]) -> None:
    """Let the process find the studies, and keep it to one thread: the patients share the cores already."""
    sys.path[:] = path
    for folder in studies:
        make_importable(folder)
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _caught(function: Callable[[Item], Result], patient: Item) -> Result | PreopError:
    try:
        return function(patient)
    except PreopError as error:
        return error
