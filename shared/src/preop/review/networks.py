"""Automatic proposals from trained networks (nnU-Net), one at a time: of a whole scan in the background, or in a box."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, PreopError
from preop.imaging import Image, crop, read_image
from preop.review.proposals import Prompt, Promptable, part_around

MAX_KEPT = 20
IN_BOX = "network "
"""Before the name of a network, where it is a method that takes a box."""
SEEN_AROUND_MM = 30.0
"""What a network sees of the scan around a box, to tell what lies in it."""


@dataclass
class Job:
    """One proposal that is being made.

    Attributes
    ----------
    done, total
        Tiles; 0 of 0 before the first.
    labels
        The proposal, once it is there.
    error
        Why there is none, in one sentence.
    """

    id: str
    patient: int
    slug: str
    network: str
    done: int = 0
    total: int = 0
    labels: Image | None = None
    error: str = ""
    finished: bool = False


class Networks:
    """Trained networks by name, loaded when one is asked for.

    Parameters
    ----------
    folders
        Folder of each network, which holds its ``plans.json``, by name.
    scans
        Slug of the scan that a network was made for, by name; those that are not there are offered on every scan.
    threads
        CPU threads of a network; all if None.
    """

    def __init__(
        self, folders: Mapping[str, Path], scans: Mapping[str, str] | None = None, threads: int | None = None
    ) -> None:
        for folder in folders.values():
            if not (folder / "plans.json").is_file():
                raise InvalidInputError(f"There is no network in {folder}: name the folder that holds its plans.json.")
        self.names = tuple(folders)
        self.scans = dict(scans or {})
        self._folders = dict(folders)
        self._threads = threads
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="networks")
        self._loaded: tuple[str, object] | None = None

    def begin(self, network: str, patient: int, slug: str, scan: Path) -> Job:
        """Begin a proposal; one that is being made for the same mask is given instead.

        Raises
        ------
        InvalidInputError
            If there is no network of this name.
        """
        if network not in self._folders:
            raise InvalidInputError(f"There is no network {network!r}; there are: {', '.join(self.names) or 'none'}.")
        with self._lock:
            for job in self._jobs.values():
                if (job.patient, job.slug, job.network, job.finished) == (patient, slug, network, False):
                    return job
            while len(self._jobs) >= MAX_KEPT:
                self._jobs.pop(next(iter(self._jobs)))
            job = Job(uuid.uuid4().hex, patient, slug, network)
            self._jobs[job.id] = job
        self._pool.submit(self._make, job, scan)
        return job

    def job(self, number: str) -> Job:
        """Give a proposal by its number.

        Raises
        ------
        InvalidInputError
            If there is none, or it is too long ago.
        """
        with self._lock:
            if number not in self._jobs:
                raise InvalidInputError("This proposal is not known any more: ask for it again.")
            return self._jobs[number]

    def in_box(self) -> dict[str, Promptable]:
        """Give a method for each network that proposes what it finds in a box, by name."""
        return {IN_BOX + name: _InBox(self, name) for name in self.names}

    def check(self, name: str, scan: str) -> None:
        """Refuse a scan that a network was not made for.

        Raises
        ------
        InvalidInputError
            If it was made for another one.
        """
        if (made_for := self.scans.get(name, scan)) != scan:
            raise InvalidInputError(f"The network {name} was made for {made_for}; this mask is drawn on {scan}.")

    def segment(self, name: str, image: Image) -> Image:
        """Segment a part of a scan, when what was begun before is done.

        Raises
        ------
        InvalidInputError
            If the network fails, in one sentence for the reviewer.
        """
        try:
            return self._pool.submit(self._segment, name, image, lambda _done, _total: None).result()
        except Exception as error:
            raise InvalidInputError(_in_words(error)) from error

    def stop(self) -> None:
        """Begin no other proposal."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make(self, job: Job, scan: Path) -> None:
        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total

        try:
            image = read_image(scan)
            job.labels = self._segment(job.network, image, progress)
        except Exception as error:  # noqa: BLE001 - torch fails in many ways, and the reviewer has to hear of it
            job.error = _in_words(error)
        finally:
            job.finished = True

    def _segment(self, name: str, image: Image, progress: Callable[[int, int], None]) -> Image:
        from preop.segmentation import Network, load_network

        if self._loaded is None or self._loaded[0] != name:
            self._loaded = (name, load_network(self._folders[name], threads=self._threads))
        network = self._loaded[1]
        assert isinstance(network, Network)  # noqa: S101
        if len(network.channels) != 1:
            raise InvalidInputError(
                f"The network {name} takes {len(network.channels)} scans ({', '.join(network.channels)}); expected one that "
                "takes the scan alone on which the mask is drawn."
            )
        labels = network.segment(image, mirroring=False, progress=progress)
        return labels.with_voxels(drawn_structure(labels.voxels, network.labels))


class _InBox:
    """A trained network, of which a box takes what it finds inside."""

    needs = "box"

    def __init__(self, networks: Networks, name: str) -> None:
        self.title = f"Network {name}"
        self._networks, self._name = networks, name

    def propose(self, scan: Image, prompt: Prompt, current: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See :meth:`preop.review.proposals.Promptable.propose`."""
        box = part_around(scan, prompt)
        around = [int(np.ceil(SEEN_AROUND_MM / mm)) for mm in scan.spacing_mm]
        seen = tuple(
            slice(max(part.start - more, 0), min(part.stop + more, size))
            for part, more, size in zip(box, around, scan.shape, strict=True)
        )
        labels = self._networks.segment(self._name, crop(scan, seen))
        whole = np.zeros(scan.shape, dtype=np.bool_)
        whole[seen] = labels.voxels != 0
        found = np.zeros_like(whole)
        found[box] = whole[box]
        if not found.any():
            raise InvalidInputError("The network found nothing in the box.")
        return found


def drawn_structure(labels: NDArray[np.integer[Any]], values: Mapping[str, int | tuple[int, ...]]) -> NDArray[np.uint8]:
    """Give 1 where a network draws what a mask is of, whatever kind of it, and 0 where it draws the organ around.

    Parameters
    ----------
    labels
        What it drew.
    values
        Value of each of its labels, by name. Those named as organs are the surroundings, unless it draws nothing else.
    """
    from preop.segmentation import organ_names

    organs = organ_names()
    kinds = {name for name, value in values.items() if value != 0 and name not in organs}
    around = [value for name, value in values.items() if name in organs] if kinds else []
    return np.asarray((labels != 0) & ~np.isin(labels, around), dtype=np.uint8)


def _in_words(error: Exception) -> str:
    if isinstance(error, PreopError):
        return str(error)
    if isinstance(error, ImportError):
        return f"Networks need the packages of the lock learning: requirements/install.sh learning ({error.name})."
    return f"The network failed: {error}."
