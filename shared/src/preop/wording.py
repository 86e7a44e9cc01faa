"""Numbers of things in sentences: "1 patient", "2 patients"."""

from __future__ import annotations


def counted(number: int, what: str, several: str | None = None) -> str:
    """Write a number with the noun that it counts.

    Parameters
    ----------
    what
        The noun for one.
    several
        The noun for all other numbers, where it is not ``what`` and an s.

    Examples
    --------
    >>> counted(1, "metastasis", "metastases"), counted(0, "patient")
    ('1 metastasis', '0 patients')
    """
    return f"{number} {what if number == 1 else several or f'{what}s'}"
