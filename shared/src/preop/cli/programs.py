"""Which programs the commands run, and what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from preop.cli import repository
from preop.engines.base import Engine
from preop.engines.choosing import EngineChoice, engine_for, find_engine
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program, algorithm_program, evaluation_program
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm


def programs(names: Sequence[str] | None) -> list[tuple[Program, Path | None]]:
    """Give the named algorithms, or all of them and the evaluation, each with its default model."""

    def of(algorithm: Algorithm) -> tuple[Program, Path | None]:
        return algorithm_program(algorithm), algorithm.folder / "model"

    evaluation: tuple[Program, Path | None] = (evaluation_program(repository.evaluation_folder()), None)
    if not names:
        return [*map(of, repository.studies()), evaluation]
    return [evaluation if name == evaluation[0].name else of(repository.find_algorithm(name)) for name in names]


def engine_told(program: Program, choice: EngineChoice) -> Engine:
    """Choose what runs a program, and say what it shuts off."""
    chosen = engine_for(program, choice)
    Console().print(f"{program.title}: in {chosen.isolation}", soft_wrap=True)
    return chosen


def container_engine(choice: EngineChoice = "auto") -> ContainerEngine:
    """Give what runs and builds images.

    Raises
    ------
    InvalidInputError
        If neither docker nor podman works.
    """
    chosen = find_engine(choice)
    if not isinstance(chosen, ContainerEngine):
        raise InvalidInputError("Images need docker or podman, and neither works on this machine: see preop doctor.")
    return chosen
