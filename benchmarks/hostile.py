"""What a program can reach that tries to get out, by each engine that works here: ``python benchmarks/hostile.py``.

The program of ``tests/engines/hostile.py`` runs in a container (docker or podman, with an image of its own, on
PREOP_BASE_IMAGE where that is set), in an isolated process, and in a process without namespaces; there it tries only what
changes nothing of the machine. Prints what each engine says of itself in the first line of a run, and a table.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from preop.engines.base import Engine
from preop.engines.building import build_image
from preop.engines.choosing import find_engine
from preop.engines.containers import ContainerEngine
from preop.engines.processes import ProcessEngine
from preop.engines.programs import Program
from tests.engines.conftest import DOCKERFILE
from tests.engines.hostile import HARMLESS, MEMORY, attempt, hostile_program, ways_out


def main() -> None:
    """Try all, and print the table at the end, after all that a build says."""
    columns: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        program = hostile_program(Path(folder))
        container, isolated = find_engine("auto"), find_engine("process")
        if isinstance(container, ContainerEngine):
            (program.folder / "Dockerfile").write_text(DOCKERFILE.replace("probe", program.name))
            build_image(container, program)
            try:
                columns[container.isolation] = tried(container, program)
            finally:
                subprocess.run([*container.command, "rmi", program.image], capture_output=True, check=False)
        if isinstance(isolated, ProcessEngine) and isolated.namespaces:
            columns[isolated.isolation] = tried(isolated, program)
        plain = ProcessEngine(())
        columns[plain.isolation] = tried(plain, program)
    names = [words.partition(":")[0] for words in columns]
    print(f"Linux {platform.release()}, {platform.machine()}\n", *columns, "", sep="\n")
    print(f"| attempt | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for name in next(iter(columns.values())):
        print(
            f"| {name.replace('_', ' ')} | {' | '.join(column.get(name, 'not tried') for column in columns.values())} |"
        )


def tried(engine: Engine, program: Program) -> dict[str, str]:
    """Let the program try everything with an engine; what takes too much memory runs alone, for it ends the run."""
    namespaces = not isinstance(engine, ProcessEngine) or bool(engine.namespaces)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        outside, work = Path(folder) / "outside", Path(folder) / "work"
        outside.mkdir()
        work.mkdir()
        with ways_out(outside) as attempts:
            wanted = [each for each in attempts if namespaces or each[0] in HARMLESS]
            result, told = attempt(engine, program, work, *wanted)
        found |= told
        if result.error is not None:
            found |= {name: result.error for name, _ in wanted if name not in told}
        for each in MEMORY[0 if namespaces else -1 :]:
            own = work / each[0]
            own.mkdir()
            result, told = attempt(engine, program, own, each)
            found[each[0]] = told.get(each[0], result.error or "the run was ended")
    return found


if __name__ == "__main__":
    main()
