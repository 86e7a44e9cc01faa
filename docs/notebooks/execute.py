"""Executes the notebooks of this folder in place: ``python docs/notebooks/execute.py``.

Needs no Jupyter: the cells are plain Python, and what a cell prints or ends in becomes its output.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run all code cells in one namespace, and give the notebook with their outputs."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
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
    *statements, last = ast.parse(source).body
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
        if hasattr(value, "_repr_html_"):
            shown["text/html"] = [value._repr_html_()]
        yield {"data": shown, "execution_count": count, "metadata": {}, "output_type": "execute_result"}


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
