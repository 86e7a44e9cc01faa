"""Executes the notebooks of this folder in place: ``python docs/notebooks/execute.py``.

Needs no Jupyter: the cells are Python and commands after an exclamation mark, and what a cell prints or ends in becomes its
output, as text: a page in a frame is large, bears a date, and is not shown where notebooks are only read.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
COMMAND = re.compile(r"^!(.+)$", flags=re.MULTILINE)


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run all code cells in one namespace, and give the notebook with their outputs."""
    namespace: dict[str, Any] = {"__name__": "__main__", "typed": typed}
    count = 0
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        count += 1
        outputs = list(_outputs("".join(cell["source"]), namespace, count))
        cells.append({**cell, "execution_count": count, "outputs": outputs})
    return {**notebook, "cells": cells}


def _outputs(source: str, namespace: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    python = COMMAND.sub(lambda command: f"typed({command[1]!r})", source)
    *statements, last = ast.parse(python).body
    value = None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(statements, []), "cell", "exec"), namespace)  # noqa: S102 - our own notebooks
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)  # noqa: S307
        else:
            exec(compile(ast.Module([last], []), "cell", "exec"), namespace)  # noqa: S102
    if printed.getvalue():
        yield {"name": "stdout", "output_type": "stream", "text": printed.getvalue().splitlines(keepends=True)}
    if value is not None:
        shown = {"text/plain": repr(value).splitlines(keepends=True)}
        yield {"data": shown, "execution_count": count, "metadata": {}, "output_type": "execute_result"}


def typed(command: str) -> None:
    """Run a command by the shell, with the packages of this Python, and print what it says."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path, "COLUMNS": "120"}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr}")
    sys.stdout.write(done.stdout)


def main() -> None:
    """Execute them all in an empty folder, and write them back."""
    os.environ["PREOP_CHECKOUT"] = str(FOLDER.parents[1])
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            done = executed(notebook)
        path.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
