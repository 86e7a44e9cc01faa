"""Choosing the engine: what the user asks for, or the strictest that works here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from preop.engines.base import Engine
from preop.engines.containers import ContainerEngine, find_docker, find_podman, image_problem
from preop.engines.processes import ProcessEngine, working_namespaces
from preop.engines.programs import Program
from preop.errors import MissingToolError

EngineChoice = Literal["auto", "docker", "podman", "process"]


def find_engine(choice: EngineChoice = "auto") -> Engine:
    """Find what can run a program here.

    Parameters
    ----------
    choice
        ``auto`` takes docker if its daemon answers, else podman if it can run a container under all restrictions,
        else the isolated process.

    Raises
    ------
    MissingToolError
        If the engine that was asked for does not work here.
    """
    finders: dict[str, Callable[[], Engine | None]] = {
        "docker": find_docker,
        "podman": find_podman,
        "process": lambda: ProcessEngine(working_namespaces()),
    }
    for name in finders if choice == "auto" else (choice,):
        engine = finders[name]()
        if engine:
            return engine
    advice = {
        "docker": "start its daemon, and let your user speak to it",
        "podman": "install podman and runc, and try: podman run --rm --network=none IMAGE true",
    }[choice]
    raise MissingToolError(f"{choice} cannot run containers on this machine: {advice}, or choose another engine.")


def engine_for(program: Program, choice: EngineChoice = "auto") -> Engine:
    """Find what can run one program here: a container only where its image was built from the sources as they are now.

    Parameters
    ----------
    choice
        ``auto`` takes the isolated process where there is no such image; its ``isolation`` says so.

    Raises
    ------
    MissingToolError
        If the engine that was asked for does not work here, or has no such image.
    """
    engine = find_engine(choice)
    problem = image_problem(engine, program) if isinstance(engine, ContainerEngine) else None
    if problem is None:
        return engine
    if choice == "auto":
        return ProcessEngine(working_namespaces(), reason=problem)
    raise MissingToolError(problem)
