"""The exceptions that a user can meet: each message is one sentence that says what was found and what to do.

What nobody foresaw is told in a sentence of one form, so that it can be found, reported and mended.
"""

from __future__ import annotations

from collections.abc import Iterable

_OUT_OF_MEMORY = ("can't allocate memory", "Failed to allocate memory", "CUDA out of memory")
"""Of torch and ITK, which raise a RuntimeError."""


class PreopError(Exception):
    """Base of all errors that are the input's, the model's or the machine's fault, not the program's."""


class InvalidInputError(PreopError):
    """A case, a cohort table or a file that cannot be used as it is."""


class InvalidModelError(PreopError):
    """A model folder that is missing, damaged, or made for another algorithm."""


class InvalidOutputError(PreopError):
    """A result that the platform would refuse, or that cannot be written."""


class MissingToolError(PreopError):
    """A program or a permission that this machine lacks."""


def meant(word: str, known: Iterable[str]) -> str:
    """Name the known word that is nearest to an unknown one, as a question to put into a sentence; "" where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def need_package(name: str, what: str, lock: str) -> None:
    """Tell that a package is missing before it is needed.

    Parameters
    ----------
    what
        What it is for, as the beginning of a sentence.
    lock
        Of ``requirements/``, that holds it.

    Raises
    ------
    MissingToolError
        If it is not installed.
    """
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise MissingToolError(f"{what} needs {name}, which is not installed: run requirements/install.sh {lock}.")


def unexpected(error: BaseException) -> str:
    """Tell an error that nobody foresaw in one line; memory is blamed only by an error that says so itself."""
    detail = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    if isinstance(error, MemoryError) or any(words in detail for words in _OUT_OF_MEMORY):
        return f"This machine, or the limit it was given, has not enough memory for this case ({detail:.300})."
    return f"Unexpected internal error ({detail:.300}): please report it with its traceback."
