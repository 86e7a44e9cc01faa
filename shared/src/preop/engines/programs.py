"""What is built and run: an algorithm or the evaluation, and the files that make its image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import preop
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm

FLAVOUR_VARIABLE = "PREOP_FLAVOUR"
"""Which images are built, run and exported: cpu, without torch, if it is not set; or cuda, with torch."""
FLAVOURS = ("cpu", "cuda")
EVALUATION_MEMORY_GB = 8
EVALUATION_LIMIT_S = 60 * 60
_OUTSIDE_THE_IMAGE = ("model", "test", "ground_truth")


@dataclass(frozen=True)
class Program:
    """An algorithm or the evaluation, as something to build and to run.

    Attributes
    ----------
    name, title, version
        What its image is called.
    module
        The Python module that runs it, ``<name>.inference``.
    folder
        Where its Dockerfile lies.
    repository
        The root of the repository: the build context.
    requirements
        The lock under ``requirements/`` that its image installs.
    memory_gb, time_limit_s, gpu
        What it may use.
    serves
        Whether it can also run as a server (``invoke``).
    flavour
        ``cpu``, or ``cuda`` for the image with torch.
    imported
        Identity of the image that somebody else has exported and that runs in place of one from these sources; None where
        none does.
    """

    name: str
    title: str
    version: str
    module: str
    folder: Path
    repository: Path
    requirements: str
    memory_gb: int
    time_limit_s: float
    gpu: bool = False
    serves: bool = True
    flavour: str = "cpu"
    imported: str | None = None

    @property
    def image(self) -> str:
        """Name and tag of its image, or the identity of an imported one."""
        tag = self.version if self.flavour == "cpu" else f"{self.version}-{self.flavour}"
        return self.imported or f"preop/{self.name}:{tag}"


def algorithm_program(algorithm: Algorithm) -> Program:
    """Describe how an algorithm is built and run, in the flavour that PREOP_FLAVOUR says.

    Raises
    ------
    InvalidInputError
        If PREOP_FLAVOUR is no flavour.
    """
    flavour = os.environ.get(FLAVOUR_VARIABLE) or "cpu"
    if flavour not in FLAVOURS:
        raise InvalidInputError(f"{FLAVOUR_VARIABLE} is {flavour!r}; expected {' or '.join(FLAVOURS)}.")
    with_torch = algorithm.cuda_requirements if flavour == "cuda" else None
    return Program(
        name=algorithm.name,
        title=algorithm.title,
        version=algorithm.version,
        module=f"{algorithm.name}.inference",
        folder=algorithm.folder,
        repository=algorithm.folder.parent.parent,
        requirements=with_torch or algorithm.requirements,
        memory_gb=algorithm.memory_gb,
        time_limit_s=60 * algorithm.time_limit_minutes,
        gpu=algorithm.gpu or with_torch is not None,
        flavour="cpu" if with_torch is None else "cuda",
    )


def evaluation_program(folder: Path) -> Program:
    """Describe how the evaluation in a folder is built and run."""
    return Program(
        name=folder.name,
        title="Evaluation of pre-operative staging algorithms",
        version=preop.__version__,
        module=f"{folder.name}.evaluate",
        folder=folder.absolute(),
        repository=folder.absolute().parent,
        requirements="evaluation",
        memory_gb=EVALUATION_MEMORY_GB,
        time_limit_s=EVALUATION_LIMIT_S,
        serves=False,
    )


def sources_digest(program: Program) -> str:
    """Digest of the names and contents of all files that a program's image is made of (SHA-256, hexadecimal).

    Models, test cases and ground truth are outside of the image and change nothing.
    """
    digest = hashlib.sha256()
    for path in _sources(program):
        name = path.relative_to(program.repository).as_posix()
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _sources(program: Program) -> Iterator[Path]:
    """Go through what the Dockerfiles copy and ``.dockerignore`` lets in, and the Dockerfile itself."""
    locks = program.repository / "requirements"
    for file in (
        program.repository / "pyproject.toml",
        *(locks / f"{program.requirements}{suffix}" for suffix in (".in", ".txt")),
    ):
        if file.is_file():
            yield file
    for folder in (program.repository / "shared" / "src", program.folder):
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            outside = folder == program.folder and parts[0] in _OUTSIDE_THE_IMAGE
            made_here = any(part == "__pycache__" or part.endswith(".egg-info") for part in parts)
            if path.is_file() and not outside and not made_here:
                yield path
