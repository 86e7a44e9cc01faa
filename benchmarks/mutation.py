"""Would the tests notice a wrong number? ``python benchmarks/mutation.py FOLDER [--only PACKAGE ...]``.

``mutants.toml`` lists changes to the library that a test must notice: a border moved by half, a comparison turned round,
a term left out. Each is made in a copy of the working tree, and the tests named beside it are run there: a mutant is
killed if one of them fails or they take more than three minutes of processor time, and has survived if all pass. The list is ours and not
drawn by a tool, because a generated list of every operator in the library would take days on two cores and is full of
changes that mean nothing (a message's wording, a default that every caller overrides).

Results are kept in FOLDER and a run that was stopped goes on from there; a mutant is tried anew when its source or one of
its tests has changed. Ends in a table, the survivors, and the share killed; exits with 1 if the tests fail without any
change or a mutant does not fit its source.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import queue
import resource
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutants.toml")
LIMIT_S = 180  # processor time, which a busy machine does not lengthen
# What tests import beside the library. Loaded once and not for every mutant: it takes longer than most tests.
PRELOADED = (
    *("pytest", "hypothesis", "numpy", "pandas", "pydantic", "jsonschema", "rich.progress", "SimpleITK", "PIL.Image"),
    *("scipy.ndimage", "scipy.optimize", "scipy.spatial", "scipy.special", "scipy.stats", "statsmodels.api"),
    *("sklearn.linear_model", "sklearn.metrics", "lifelines", "numba", "torch"),
)


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and the tests that should notice it; none is made where both texts are empty.

    Attributes
    ----------
    path
        File of the library, below the repository.
    old, new
        What stands there, once, and what is put in its place.
    tests
        Test files, below the repository.
    """

    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def package(self) -> str:
        """The library's package that it changes."""
        return self.path.split("/")[3]

    @property
    def key(self) -> str:
        """Changes with the source and with the tests, so that an old result is not taken for a new one."""
        folders = {str(Path(name).parent / "conftest.py") for name in self.tests}
        files = [self.path, *self.tests, *sorted(name for name in folders if (ROOT / name).is_file())]
        text = "\0".join([self.old, self.new, *((ROOT / name).read_text() for name in files)])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def source(self) -> str:
        """Text of the file with the change."""
        text = (ROOT / self.path).read_text()
        return text.replace(self.old, self.new) if self.old else text

    def __str__(self) -> str:
        return f"{self.path.removeprefix('shared/src/preop/')}: {self.old!r} -> {self.new!r}"


def read_mutants(only: list[str]) -> list[Mutant]:
    """Read the list, and stop where an entry does not stand once in its file."""
    mutants = [
        Mutant(group["path"], old, new, tuple(group["tests"]))
        for group in tomllib.loads(LIST.read_text())["group"]
        for old, new in group["mutants"]
    ]
    counts = {mutant: (ROOT / mutant.path).read_text().count(mutant.old) for mutant in mutants}
    if misfits := [f"{mutant} (stands {found} times)" for mutant, found in counts.items() if found != 1]:
        sys.exit(f"Each text must stand once in its file; mend {LIST.name}:\n" + "\n".join(misfits))
    return [mutant for mutant in mutants if not only or mutant.package in only]


def copy_of_tree(folder: Path) -> Path:
    """Copy what git knows and does not ignore."""
    if folder.exists():
        shutil.rmtree(folder)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


class Runner:
    """A process that has loaded what tests need beside the library, and runs tests in a child for every mutant."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        environment = os.environ | {
            "PYTHONPATH": str(tree / "shared" / "src"),  # ahead of the library that is installed in place
            "PYTHONDONTWRITEBYTECODE": "1",  # two changes within a second, of one length, look the same to a cache
            "PREOP_DATA": os.environ.get("PREOP_DATA", str(ROOT.parent / "shared" / "data")),
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--runner"],
            cwd=tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def kills(self, mutant: Mutant) -> bool:
        """Run the tests of a mutant in the copy of the tree, which is as before afterwards."""
        file = self.tree / mutant.path
        file.write_text(mutant.source())
        try:
            print(json.dumps(mutant.tests), file=self.process.stdin, flush=True)
            code = int(self.process.stdout.readline())  # type: ignore[union-attr]
        finally:
            shutil.copy2(ROOT / mutant.path, file)
        return code != 0


def run_tests() -> None:
    """Be a runner: for every line of input run the test files that it names, and print pytest's exit code."""
    for name in PRELOADED:
        importlib.import_module(name)
    import pytest

    for line in sys.stdin:
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
            for stream in (0, 1, 2):
                os.dup2(os.open(os.devnull, os.O_RDWR), stream)
            code = pytest.main(
                ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0", *json.loads(line)]
            )
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def try_all(mutants: list[Mutant], folder: Path, jobs: int) -> dict[str, bool]:
    """Whether each mutant is killed, by its key; the unchanged source comes first, and must not be."""
    from preop.progress import progress_bar

    results_file = folder / "results.json"
    results: dict[str, bool] = json.loads(results_file.read_text()) if results_file.is_file() else {}
    unchanged = {(mutant.path, mutant.tests): Mutant(mutant.path, "", "", mutant.tests) for mutant in mutants}
    left = [mutant for mutant in (*unchanged.values(), *mutants) if mutant.key not in results]
    if not left:
        return results
    with ExitStack() as stack:
        runners: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for number in range(min(jobs, len(left))):
            runners.put(stack.enter_context(Runner(copy_of_tree(folder / f"tree-{number}"))))

        def one(mutant: Mutant) -> bool:
            runner = runners.get()
            try:
                return runner.kills(mutant)
            finally:
                runners.put(runner)

        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        step = stack.enter_context(progress_bar("mutants", len(left)))
        futures = {pool.submit(one, mutant): mutant for mutant in left}
        for future in as_completed(futures):
            mutant = futures[future]
            if not mutant.old and future.result():
                pool.shutdown(cancel_futures=True)
                sys.exit(f"{', '.join(mutant.tests)} fail without any change: mend that first.")
            results[mutant.key] = future.result()
            partial = results_file.with_suffix(".partial")
            partial.write_text(json.dumps(results, indent=1))
            partial.replace(results_file)
            step(1)
    return results


def table(mutants: list[Mutant], results: dict[str, bool]) -> str:
    """Killed and surviving mutants of each package, and every survivor by name."""
    lines = ["| package | mutants | killed | share |", "| --- | --- | --- | --- |"]
    packages = list(dict.fromkeys(mutant.package for mutant in mutants))
    for package in [*packages, "all"]:
        outcomes = [results[mutant.key] for mutant in mutants if package in ("all", mutant.package)]
        lines.append(f"| {package} | {len(outcomes)} | {sum(outcomes)} | {sum(outcomes) / len(outcomes):.0%} |")
    survivors = [f"- survived: {mutant}" for mutant in mutants if not results[mutant.key]]
    return "\n".join([*lines, "", *survivors])


def main() -> None:
    """Try the mutants that have no result yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where copies of the tree and results are kept")
    parser.add_argument("--only", nargs="+", default=[], metavar="PACKAGE", help="packages of the library")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    mutants = read_mutants(options.only)
    if not mutants:
        sys.exit(f"{LIST.name} holds no mutant of {', '.join(options.only)}.")
    print(table(mutants, try_all(mutants, folder, options.jobs)))


if __name__ == "__main__":
    if sys.argv[1:] == ["--runner"]:
        run_tests()
    else:
        main()
