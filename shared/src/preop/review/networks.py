"""Automatic proposals from trained networks (nnU-Net), one at a time in the background, with their progress."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError, PreopError
from preop.imaging import Image, read_image

MAX_KEPT = 20


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

    def stop(self) -> None:
        """Begin no other proposal."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make(self, job: Job, scan: Path) -> None:
        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total

        try:
            image = read_image(scan)
            job.labels = self._segment(job.network, image, progress)
        except PreopError as error:
            job.error = str(error)
        except ImportError as error:
            job.error = (
                f"Networks need the packages of the lock learning: requirements/install.sh learning ({error.name})."
            )
        except Exception as error:  # noqa: BLE001 - torch fails in many ways, and the reviewer has to hear of it
            job.error = f"The network failed: {error}."
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
        return labels.with_voxels(labels.voxels.astype(np.uint8))
