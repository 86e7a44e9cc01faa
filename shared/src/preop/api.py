"""An algorithm from Python, in a few lines.

::

    import preop

    algorithm = preop.load("lung_nodal_stage")
    result = algorithm.predict(chest_ct="ct.nii.gz", fdg_pet="pet.nii.gz")
    result["n-stage"]
    result.show()

It runs in this process, with its packages and its rights; ``preop run`` runs the same algorithm apart from everything else.
"""

from __future__ import annotations

import functools
import html
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preop.cli.repository import find_algorithm
from preop.cohort.inputs import case_of_inputs, input_columns
from preop.errors import InvalidInputError, meant
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output, write_outputs
from preop.grandchallenge.runtime import outputs_of
from preop.report.case import PAGE_FILE, case_page_file
from preop.study import inference_of

FRAME_HEIGHT = 800
"""Of a page in a notebook, in pixels."""


@dataclass(frozen=True)
class Loaded:
    """An algorithm with its model, ready to predict.

    Attributes
    ----------
    algorithm
        What it takes and gives.
    model
        Folder of its model.
    """

    algorithm: Algorithm
    model: Path
    _model: Any = field(repr=False)

    @property
    def inputs(self) -> dict[str, str]:
        """What :meth:`predict` takes, by the name of the argument, in words."""
        return {_argument(column): words for column, words in input_columns(self.algorithm).items()}

    def predict(self, *, mpp: float | None = None, **inputs: str | os.PathLike[str] | float) -> Result:
        """Run it on one case.

        Parameters
        ----------
        mpp
            Micrometres per pixel of a slide whose file does not state it.
        inputs
            Files and values, by the names that :attr:`inputs` lists; what is not known is left out.

        Raises
        ------
        InvalidInputError
            If a name is unknown, a file cannot be read, or the inputs are no combination that the algorithm accepts.
        """
        columns = {_argument(column): column for column in input_columns(self.algorithm)}
        for name in inputs:
            if name not in columns:
                raise InvalidInputError(
                    f"{self.algorithm.name} has no input {name}{meant(name, columns)}; there are {', '.join(columns)}."
                )
        given = {columns[name]: os.fspath(value) if isinstance(value, os.PathLike) else str(value) for name, value in inputs.items()}  # fmt: skip
        case = case_of_inputs(self.algorithm, given, mpp=mpp)
        outputs = outputs_of(case, inference_of(self.algorithm).predict, self._model)
        return Result(case, outputs, self.model)


@dataclass(frozen=True, eq=False)
class Result:
    """What an algorithm made of a case.

    Attributes
    ----------
    case
        What it was made of.
    outputs
        By slug: numbers, texts and JSON as they are, images as ``preop.imaging.Image``.
    model
        Folder of the model.
    """

    case: Case
    outputs: Mapping[str, Output]
    model: Path

    def __getitem__(self, slug: str) -> Output:
        """Give one output."""
        if slug not in self.outputs:
            raise InvalidInputError(
                f"There is no output {slug}{meant(slug, self.outputs)}; there are {', '.join(self.outputs)}."
            )
        return self.outputs[slug]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write all outputs, as the platform's ``/output``, and the page; give the page.

        Raises
        ------
        InvalidOutputError
            If the folder cannot be written.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_outputs(self.outputs, self.case, place)
        return case_page_file(self.case, place, place / PAGE_FILE, model=self.model).page

    @functools.cached_property
    def page(self) -> str:
        """The page of the case as HTML: the answer in a sentence, pictures, warnings."""
        with tempfile.TemporaryDirectory() as folder:
            return self.save(folder).read_text(encoding="utf-8")

    def show(self) -> Shown:
        """Show the page in a notebook."""
        return Shown(self.page)


@dataclass(frozen=True)
class Shown:
    """A page as notebooks show it, in a frame of its own."""

    page: str = field(repr=False)

    def __repr__(self) -> str:
        """Say where the page can be seen, to whom it is not shown."""
        return "The page of the case: shown in a notebook, written by save(folder)."

    def _repr_html_(self) -> str:
        frame = f'width="100%" height="{FRAME_HEIGHT}" style="border:0"'
        return f'<iframe srcdoc="{html.escape(self.page)}" {frame}></iframe>'


def load(name: str, model: str | os.PathLike[str] | None = None) -> Loaded:
    """Load an algorithm.

    Parameters
    ----------
    name
        Of the algorithm, or its folder.
    model
        Folder of a model; by default the one that comes with the algorithm.

    Raises
    ------
    InvalidInputError
        If there is no such algorithm.
    InvalidModelError
        If the model is missing, damaged, or of another algorithm.
    MissingToolError
        If a package that it needs is not installed.
    """
    algorithm = find_algorithm(name)
    folder = Path(model) if model is not None else algorithm.folder / "model"
    return Loaded(algorithm, folder, inference_of(algorithm).load_model(folder, algorithm))


def _argument(column: str) -> str:
    return column.replace("-", "_")
