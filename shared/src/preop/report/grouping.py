"""Sentences that say the same of several things, said once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(rf"(?<![\w.])[+\-{_MINUS}]?\d+(?:\.\d+)?(?![\w.]*\w)")
_NAMED = 3


@dataclass(frozen=True)
class Group:
    """A sentence that stands for several, and those."""

    summary: str
    sentences: Sequence[str] = ()


def grouped(sentences: Sequence[str]) -> list[Group]:
    """Join sentences of the form ``name: words`` whose words are the same but for their numbers, which become ranges.

    The words end at a second colon, behind which each has its own.
    """
    alike: dict[str, list[str]] = {}
    for sentence in sentences:
        alike.setdefault(_form(sentence), []).append(sentence)
    return [Group(each[0]) if len(each) == 1 else Group(_joined(each), each) for each in alike.values()]


def _parts(sentence: str) -> tuple[str, str, str]:
    """Split a sentence into what it is about, what it says, and what stands behind a second colon."""
    name, colon, rest = sentence.partition(": ")
    if not colon:
        return "", sentence, ""
    words, _, own = rest.partition(": ")
    return name, words, own


def _form(sentence: str) -> str:
    name, words, _ = _parts(sentence)
    return _NUMBER.sub("#", words) if name else sentence


def _joined(sentences: Sequence[str]) -> str:
    names = [_parts(each)[0] for each in sentences]
    said = [_parts(each)[1] for each in sentences]
    numbers = zip(*(_NUMBER.findall(each) for each in said), strict=True)
    ranges = iter([_range(each) for each in numbers])
    words = _NUMBER.sub(lambda _: next(ranges), said[0])
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    end = "" if words.endswith(".") else "."
    return f"{listed}: {words}{end}"


def _range(written: Sequence[str]) -> str:
    ordered = sorted(dict.fromkeys(written), key=lambda number: float(number.replace(_MINUS, "-")))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
