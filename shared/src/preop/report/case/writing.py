"""From an input and the outputs of a case to its page, by the hook of its study."""

from __future__ import annotations

from pathlib import Path

from preop.errors import InvalidInputError
from preop.folders import sha256
from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.report.case.cards import Card
from preop.report.case.content import CasePage
from preop.report.case.page import Provenance, write_case_page
from preop.report.case.plain import plain_page
from preop.study import MODEL_FILE, page_of

PAGE_FILE = "case.html"


def case_page_file(
    case: Case, outputs: Path, path: Path, *, model: Path | None = None, name: str | None = None
) -> Card:
    """Write the page of a case.

    Parameters
    ----------
    outputs
        Folder laid out as the platform's ``/output``.
    path
        The HTML file to write.
    model
        Folder of the model that made the outputs, where it is known.
    name
        What the case is called; by default its own name.

    Returns
    -------
    What stands for the case on other pages.

    Raises
    ------
    InvalidInputError
        If an input or output cannot be read, or they do not belong together.
    """
    page = _content(case, CaseOutputs(case, outputs))
    called = name or case.name
    drawing = write_case_page(page, case.algorithm, Provenance(called, _checksum(model)), path)
    return Card.of(called, path, page.headline.sentence, drawing)


def _content(case: Case, outputs: CaseOutputs) -> CasePage:
    outputs.check_grids()
    hook = page_of(case.algorithm)
    if hook is None:
        return plain_page(case, outputs)
    try:
        page: CasePage = hook.case_page(case, outputs)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        # Outputs are files that anyone may have changed: what is missing in them is no fault of the program.
        raise InvalidInputError(
            f"The outputs in {outputs.root} are not those that {case.algorithm.name} {case.algorithm.version} writes "
            f"({type(error).__name__}: {error}); run it again on this case."
        ) from error
    return page


def _checksum(model: Path | None) -> str | None:
    if model is None or not (model / MODEL_FILE).is_file():
        return None
    return sha256(model / MODEL_FILE)
