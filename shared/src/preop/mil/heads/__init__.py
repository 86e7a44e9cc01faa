"""Heads: from the features of a bag's instances to a reading of the bag; one contract, one registry."""

from __future__ import annotations

from inspect import signature

from preop.errors import InvalidInputError
from preop.mil.heads.attention import AdditiveAttentionHead, AttentionHead, GatedAttentionHead
from preop.mil.heads.base import Head, Reading
from preop.mil.heads.clam import ClamHead
from preop.mil.heads.count import CountHead, InstanceLabelHead, NoisyOrHead, SquaredErrorHead
from preop.mil.heads.dsmil import DsmilHead
from preop.mil.heads.pooling import MaxHead, MeanHead
from preop.mil.heads.transmil import TransmilHead

HEADS: dict[str, type[Head]] = {
    head.name: head
    for head in (
        MeanHead,
        MaxHead,
        AttentionHead,
        GatedAttentionHead,
        AdditiveAttentionHead,
        ClamHead,
        DsmilHead,
        TransmilHead,
        CountHead,
        NoisyOrHead,
        SquaredErrorHead,
        InstanceLabelHead,
    )
}


def make_head(name: str, features: int, **options: float) -> Head:
    """Make a head by its name, with new weights.

    Parameters
    ----------
    name
        One of ``HEADS``.
    features
        Number of features of an instance.
    options
        Of the head's constructor.

    Raises
    ------
    InvalidInputError
        If there is no such head, or it has no such option.
    """
    if name not in HEADS:
        raise InvalidInputError(f"There is no head {name}; expected one of {', '.join(HEADS)}.")
    known = list(signature(HEADS[name]).parameters)[1:]
    strange = [option for option in options if option not in known]
    if strange:
        raise InvalidInputError(f"The head {name} has no option {strange[0]}; expected {', '.join(known) or 'none'}.")
    return HEADS[name](features, **options)


__all__ = [
    "HEADS",
    "AdditiveAttentionHead",
    "AttentionHead",
    "ClamHead",
    "CountHead",
    "DsmilHead",
    "GatedAttentionHead",
    "Head",
    "InstanceLabelHead",
    "MaxHead",
    "MeanHead",
    "NoisyOrHead",
    "Reading",
    "SquaredErrorHead",
    "TransmilHead",
    "make_head",
]
