"""What is already done of a long run, so that one that was stopped goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preop.tabular.settings import PipelineSettings
from preop.tabular.table import FeatureTable, Index


class FinishedSteps:
    """Finished steps of a run by their number, written down one a line as soon as they are there."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self.done: dict[int, Any] = {}
        self.path = folder / f"{name}.jsonl" if folder else None
        if self.path and self.path.is_file():
            for line in self._complete_lines(self.path):
                self.done[line["step"]] = line["found"]

    def add(self, number: int, found: Any) -> None:
        """Write down what a step gave, as JSON holds it."""
        self.done[number] = found
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": number, "found": found}) + "\n")

    @staticmethod
    def _complete_lines(path: Path) -> Iterator[dict[str, Any]]:
        """A run that was stopped while it wrote leaves half a line, which is done again."""
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            text = text[: text.rfind("\n") + 1]
            path.write_text(text, encoding="utf-8")
        yield from (json.loads(line) for line in text.splitlines())


def run_name(
    kind: str,
    table: FeatureTable,
    settings: PipelineSettings,
    pairs: Sequence[tuple[Index, Index]],
    *more: Any,
) -> str:
    """Name of a run: another kind, number, patient, setting or version gives another name.

    Parameters
    ----------
    more
        What else it depends on, as JSON holds it.
    """
    from importlib.metadata import version

    digest = hashlib.sha256()
    packages = {name: version(name) for name in ("preop", "numpy", "scipy", "scikit-learn")}
    digest.update(json.dumps([kind, table.columns, settings.model_dump(mode="json"), packages, more]).encode())
    arrays = [table.values, table.outcome, table.harmonised, *(side for pair in pairs for side in pair)]
    if table.perturbed is not None:
        arrays.append(table.perturbed)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    for names in (table.patients, table.groups, table.centres):
        digest.update(json.dumps(names.tolist()).encode())
    return digest.hexdigest()[:24]
